// A JSON-RPC route that counts the calls that change something, by caller.
import { bodyParsers } from './graphql.js';
import { tally, tallyRoute } from './tally.js';

const reads = (call) =>
  call.method === 'orders.list' || call.method === 'tools/list' || (call.method === 'tools/call' && String(call.params?.name).startsWith('search_'));

function execute(req, res) {
  const calls = [req.body ?? {}].flat().map((call) => ({ ...req.query, ...call }));
  const done = calls.filter((call) => call !== null && call.method !== undefined);
  for (const call of done) if (!reads(call)) tally(req, res);
  res.json(done.map((call) => ({ jsonrpc: '2.0', id: call.id ?? null, result: 'done' })));
}

export function rpcRoutes(app) {
  tallyRoute(app);
  app.all('/rpc', ...bodyParsers, execute);
}
