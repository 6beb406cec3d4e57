// A GraphQL route that takes its parameters wherever some server takes them,
// and counts the mutations that graphql-js executed, by caller.
import express from 'express';
import { buildSchema, graphql } from 'graphql';
import { tally } from './tally.js';

const schema = buildSchema(`
  type Query { users(name: String): [String!] user(id: ID): String }
  type Mutation { addUser(name: String): String dropUser(id: ID): String }
  type Subscription { ticks: Int }
`);

function rootFor(req, res) {
  const mutate = () => {
    tally(req, res);
    return 'done';
  };
  return { users: () => ['a'], user: () => 'a', addUser: mutate, dropUser: mutate };
}

// parameters of one request, of the body and of the URL, in both orders.
function readings(body, query) {
  if (Array.isArray(body)) return body.flatMap((one) => readings(one, query));
  if (typeof body === 'string') return [{ ...query, query: body }, { query: body, ...query }];
  return [{ ...body, ...query }, { ...query, ...body }];
}

async function execute(req, res) {
  const answers = [];
  for (const p of readings(req.body ?? {}, req.query)) {
    if (typeof p.query !== 'string') continue;
    const operationName = typeof p.operationName === 'string' && p.operationName !== '' ? p.operationName : undefined;
    answers.push(await graphql({ schema, source: p.query, rootValue: rootFor(req, res), operationName, variableValues: p.variables ?? {} }));
  }
  res.json(answers);
}

export const bodyParsers = [
  express.json({ strict: false, limit: '5mb', type: (req) => /json|plain/.test(req.headers['content-type'] ?? 'json') }),
  express.text({ limit: '5mb', type: 'application/graphql' }),
  express.urlencoded({ extended: true, limit: '5mb' }),
];

export function graphqlRoutes(app) {
  app.all('/graphql', ...bodyParsers, execute);
}
