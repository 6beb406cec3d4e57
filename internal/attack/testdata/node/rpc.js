export function rpcRoutes(app) {}
