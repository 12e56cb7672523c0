// An authorization server for tests: oidc-provider, with one client, one user, and one API.
//
// Its only argument is a JSON object with the client's metadata, the lifetime of access tokens, and
// the thumbprint of the key that the user's refresh tokens are bound to, if any (RFC 9449, section 5).
// It listens on a free port of 127.0.0.1, prints "ready" and its URL, and ends when its standard
// input does. Besides what oidc-provider has, POST /login returns a refresh token of a user who
// has just logged in, GET /requests how many token requests have come, and POST /revoke?token=
// revokes an access token alone: with it, the revocation endpoint revokes the whole grant.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const { client, jkt, lifetime } = JSON.parse(process.argv[2]);
const accountId = 'user';
const scope = 'openid offline_access';

const server = createServer().listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [{
    grant_types: ['authorization_code', 'client_credentials', 'refresh_token'],
    redirect_uris: ['https://client.example.com/callback'],
    ...client,
  }, { // an API, which asks about tokens
    client_id: 'api',
    client_secret: 'secret-of-the-api',
    grant_types: [],
    redirect_uris: [],
    response_types: [],
  }],
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
  cookies: { keys: ['unused'] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
    introspection: { enabled: true, allowedPolicy: () => true },
  },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  rotateRefreshToken: true,
  scopes: scope.split(' '),
  ttl: { AccessToken: lifetime, ClientCredentials: lifetime, Grant: 3600, IdToken: 3600, RefreshToken: 3600 },
});

async function login() {
  const grant = new provider.Grant({ accountId, clientId: client.client_id });
  grant.addOIDCScope(scope);
  const refreshToken = new provider.RefreshToken({
    accountId,
    client: await provider.Client.find(client.client_id),
    grantId: await grant.save(),
    gty: 'authorization_code',
    jkt,
    scope,
  });
  return { refresh_token: await refreshToken.save() };
}

async function revoke(token) {
  for (const kind of [provider.AccessToken, provider.ClientCredentials]) {
    await (await kind.find(token))?.destroy();
  }
  return {};
}

let requests = 0;
provider.use(async (ctx, next) => {
  switch (ctx.path) {
    case '/login':
      ctx.body = await login();
      return;
    case '/requests':
      ctx.body = { requests };
      return;
    case '/revoke':
      ctx.body = await revoke(ctx.query.token);
      return;
    case '/token':
      requests += 1;
  }
  await next();
});

server.on('request', provider.callback());
process.stdin.resume().on('end', () => process.exit());
console.log(`ready ${issuer}`);
