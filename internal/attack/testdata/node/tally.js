// Who changed something, and how often.
const counts = {};

export function tally(req, res) {
  const who = req.get('x-auth-key-id') ?? '';
  counts[who] = (counts[who] ?? 0) + 1;
  res.set('X-Changes', String(Number(res.get('X-Changes') ?? 0) + 1));
}

export function tallyRoute(app) {
  app.get('/tally', (req, res) => res.json(counts));
}
