// An API in Express that reports, in headers of each answer, which handler
// served the request and what it believed: see upstream_test.go.
import express from 'express';
import methodOverride from 'method-override';
import { graphqlRoutes } from './graphql.js';
import { rpcRoutes } from './rpc.js';

const identity = ['x-auth-key-id', 'x-auth-key-owner', 'x-auth-api', 'x-auth-endpoint', 'x-auth-access'];

function report(req, res, next) {
  res.set('X-Attack', req.get('x-attack') ?? '');
  res.set('X-Who', identity.map((name) => req.get(name) ?? '').join('|'));
  next();
}

// served answers as the handler of that name.
function served(name) {
  return (req, res) => {
    const id = req.params.id === undefined ? '' : `/${encodeURIComponent(req.params.id)}`;
    res.set('X-Served', name.replace('/:id', id));
    res.set('X-Method', req.method);
    res.send('served\n');
  };
}

const app = express();
app.use(report);
graphqlRoutes(app);
rpcRoutes(app);
app.use(express.urlencoded({ extended: true }));
// The ways in which a request may take another method, all of them.
for (const header of ['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override']) app.use(methodOverride(header));
app.use(methodOverride('_method'));
app.use(methodOverride((req) => req.body?._method));

app.all('/public{/*rest}', served('public'));
app.all('/open{/*rest}', served('open'));
app.all('/secret{/*rest}', served('secret'));
app.all('/v2/:id/status{/*rest}', served('v2/:id/status'));
app.all('/v2/:id/purge', served('v2/:id/purge'));
app.all('/v2/:id/*rest', served('v2/:id/run'));
app.all('/rest/users{/*rest}', served('rest/users'));
app.all('/rest/orders{/*rest}', served('rest/orders'));
app.all('/rest/search', served('rest/search'));
app.all('/rest/purge', served('rest/purge'));
app.all('/rest/*rest', served('rest'));
app.use(served('site'));
app.use((err, req, res, next) => res.status(err.status ?? 500).send('refused\n')); // eslint-disable-line no-unused-vars

const server = app.listen(Number(process.argv[2]), '127.0.0.1');
server.keepAliveTimeout = 120_000;
