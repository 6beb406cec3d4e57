export function graphqlRoutes(app) {}
