//! The values of generated policies: near each other, so that a request which meets one nearly meets another.

/// Hosts.
pub const HOSTS: [&str; 19] = [
    "shop.example",
    "Shop.Example",
    "*.example",
    "shop.*",
    "SHOP.*",
    "*",
    "shop.example:8080",
    "*:8080",
    "shop.example:*",
    "127.0.0.1",
    "[::1]",
    "[::1]:80",
    "*a*",
    "**",
    "api.shop.example",
    "*.shop.example",
    "*example",
    "xn--bcher-kva.example",
    "shop.example.",
];
/// Methods.
pub const METHODS: [&str; 15] = [
    "GET", "POST", "DELETE", "PUT", "HEAD", "OPTIONS", "PATCH", "*", "G*", "*T", "get", "PURGE", "P*",
    "M-SEARCH", "GET*",
];
/// Paths, and templates of them.
pub const PATHS: [&str; 59] = [
    "/",
    "/*",
    "*",
    "/admin",
    "/admin/",
    "/admin*",
    "/admin/*",
    "*.html",
    "*/info",
    "/a/b/c",
    "/api/v1/*",
    "/Users",
    "/users",
    "/a%20b",
    "/a;b",
    "/a=b",
    "/store//cart",
    "**",
    "*a*",
    "*/*",
    "/x?y",
    "/x#y",
    "/caf%C3%A9",
    "/café",
    "*%2F*",
    "/a/../b",
    "/./a",
    "/a%2Fb",
    "/a%2fb",
    "*é",
    "admin",
    "admin*",
    "/a*b",
    "/admin/%2e%2e",
    "/admin/{*}",
    "/{*}",
    "/{**}",
    "/a/{**}",
    "/store/{**}/cart",
    "/{*}/{*}/c",
    "/files/{**}/x.html",
    "/{*}/",
    "/a/{*}/b/",
    "/a.b/{*}",
    "/a+(b)/{*}",
    "/$x/{**}",
    "/api/v1/{*}/items/{*}",
    "/%61/{*}",
    "/{**}/",
    "/a;b/{*}",
    "/a:b@c/{*}",
    "/a,b!c/{**}/d",
    "/~x/{*}/'y'/{*}",
    "/{*}/admin",
    "/{*}/{**}",
    "/admin/{**}/",
    "/a&b/{*}",
    "/a=b/{*}",
    "/{**}/a=b",
];
/// What other paths are made of.
pub const SEGMENTS: [&str; 14] =
    ["admin", "api", "v1", "users", "a", "b", "c.html", "x%20y", "a.b", "Admin", "%41", "a;v=1", "-", "~"];
/// Ports.
pub const PORTS: [&str; 7] = ["80", "443", "8080", "0080", "15006", "1", "0"];
/// Blocks for a peer on loopback.
pub const PEERS: [&str; 11] = [
    "127.0.0.1",
    "127.0.0.0/8",
    "127.1.0.0/16",
    "127.1.2.3",
    "127.1.2.3/24",
    "10.0.0.0/8",
    "::1",
    "::/0",
    "0.0.0.0/0",
    "127.0.0.1/32",
    "127.200.0.0/9",
];
/// Blocks for any client.
pub const CLIENTS: [&str; 18] = [
    "203.0.113.7",
    "203.0.113.0/24",
    "203.0.113.128/25",
    "10.0.0.0/8",
    "10.1.2.3/8",
    "0.0.0.0/0",
    "::/0",
    "2001:db8::/32",
    "2001:DB8::1",
    "192.168.0.0/16",
    "127.0.0.1",
    "198.51.100.7/31",
    "2001:db8:0:0::1/127",
    "172.16.0.0/12",
    "255.255.255.255",
    "::ffff:203.0.113.7",
    "::ffff:203.0.113.0/120",
    "::1",
];
/// Values that are no address, and no port.
pub const BAD: [&str; 12] = [
    "10.0.0.0/33",
    "300.1.1.1",
    "10.0.0",
    "10.0.0.0/",
    "a",
    "2001:db8::/129",
    "10.0.0.0/08",
    "99999",
    "http",
    "-1",
    "65536",
    "+80",
];
/// Principals.
pub const PRINCIPALS: [&str; 25] = [
    "cluster.local/ns/shop/sa/web",
    "cluster.local/ns/shop/*",
    "*/sa/web",
    "*",
    "td1/ns/shop/sa/web",
    "*local/ns/shop/sa/web",
    "other.example/ns/shop/sa/web-2",
    "cluster.local/ns/shop/extra/sa/web/more",
    "cluster.local*",
    "*/ns/a.b/sa/x.y",
    "old-td/ns/a.b/sa/x.y",
    "cluster.*/ns/shop/sa/web",
    "*-td/ns/a.b/sa/x.y",
    "*/ns/shop/sa/web",
    "cluster.local/ns/shop/sa/WEB",
    "c*",
    "*web*",
    "spiffe://cluster.local/ns/shop/sa/web",
    "cluster.local/ns/istio-system/sa/gateway",
    "*/sa/w.b",
    "cluster.local/ns/s.op/sa/web",
    "web.shop.example",
    "*shop.example",
    "cluster.local/ns/shop/sa/web*",
    "spiffe://*",
];
/// Namespaces of callers.
pub const NAMESPACES: [&str; 16] = [
    "shop",
    "sh*",
    "*op",
    "*",
    "foo",
    "a.b",
    "s*p",
    "a*b",
    "istio-system",
    "ns",
    "sh?p",
    "shop|foo",
    "[s]hop",
    "**",
    "shop/sa",
    "é",
];
/// Service accounts.
pub const ACCOUNTS: [&str; 8] =
    ["web", "shop/web", "foo/api", "a.b/x.y", "api", "web-2", "gateway", "shop/WEB"];
/// Trust domains.
pub const TRUST_DOMAINS: [&str; 7] = ["cluster.local", "td1", "*", "cluster*", "*.local", "old-td", "*td*"];
/// Issuers and subjects.
pub const REQUEST_PRINCIPALS: [&str; 19] = [
    "https://issuer.example/alice",
    "https://issuer.example/*",
    "*/alice",
    "*",
    "issuer/*",
    "https*",
    "*lice",
    "*.example/alice",
    "https://issuer.example/al*",
    "issuer",
    "https://issuer.example/",
    "*/*",
    "issuer/bob",
    "*/",
    "**",
    "*e*",
    "https://issuer.example/Alice",
    "https://*",
    "issuer/a/b",
];
/// Audiences and presenters.
pub const AUDIENCES: [&str; 7] = ["shop", "sh*", "*op", "*", "https://aud.example", "*a*", "SHOP"];
/// Names of claims.
pub const CLAIMS: [&str; 16] = [
    "[groups]",
    "[realm][role]",
    "[scope]",
    "[sub]",
    "[iss]",
    "[a.b]",
    "[email]",
    "[x]y]",
    "[a][b][c]",
    "[Groups]",
    "[level]",
    "[realm]",
    "[a]b[c]",
    "[[a]]",
    "[aud]",
    "[nothing]",
];
/// Claims.
pub const WORDS: [&str; 11] =
    ["admin", "adm*", "*min", "*", "alice@shop.example", "*@shop.example", "5", "true", "a b", "read", "*é*"];
/// Names of headers.
pub const HEADERS: [&str; 24] = [
    "x-tier",
    "X-Tier",
    "cookie",
    "user-agent",
    "accept",
    "x-forwarded-for",
    "host",
    ":path",
    ":method",
    ":authority",
    "content-type",
    "x-empty",
    "x-forwarded-proto",
    "X_Under",
    ":scheme",
    "authorization",
    "x-envoy-external-address",
    "connection",
    "x tier",
    "é",
    "[x]",
    "X-Meta",
    "content-length",
    "x-request-id",
];
/// Values of headers.
pub const HEADER_VALUES: [&str; 14] = [
    "gold",
    "go*",
    "*ld",
    "*",
    "Gold",
    "gold,silver",
    "*,silver",
    "a=b",
    "gold *",
    "*o*",
    "text/html",
    "/admin",
    "shop.example",
    "http*",
];
/// Servers' names.
pub const SNIS: [&str; 7] =
    ["shop.example", "*.example", "shop.*", "*", "other.example", "Shop.Example", "*shop*"];
/// Filters, and keys of their metadata.
pub const FILTERS: [&str; 5] =
    [".a.b[c]", ".a.b[list]", ".a.b[number]", ".http.jwt_authn[payload]", ".a.b[c"];
/// Metadata.
pub const FILTER_VALUES: [&str; 8] = ["exact", "ex*", "*act", "*", "[alpha]", "[al*]", "[*]", "[*et*]"];
/// Keys that nobody knows, or that are written wrong.
pub const UNKNOWN: [&str; 9] = [
    "source.colour",
    "request.header[x-tier]",
    "destination.labels[version]",
    "request.headersx",
    "request.headers[x]y",
    "experimental.envoy.filters.a.b",
    "destination.user",
    "request.auth.claimsx[a]",
    "request.auth.claims",
];
/// Namespaces of policies.
pub const NAMESPACE_OF_POLICIES: [&str; 3] = ["shop", "foo", "istio-system"];

/// The fields of a source.
pub const SOURCE: [&str; 7] = [
    "principals",
    "requestPrincipals",
    "namespaces",
    "serviceAccounts",
    "ipBlocks",
    "remoteIpBlocks",
    "trustDomains",
];
/// The fields of an operation.
pub const OPERATION: [&str; 4] = ["hosts", "ports", "methods", "paths"];
/// The keys of `when`; those whose values come in many forms come more often.
pub const KEYS: [&str; 20] = [
    "request.headers",
    "request.headers",
    "request.headers",
    "request.headers",
    "request.auth.claims",
    "request.auth.claims",
    "request.auth.claims",
    "source.ip",
    "remote.ip",
    "source.namespace",
    "source.serviceAccount",
    "source.principal",
    "source.trustDomain",
    "request.auth.principal",
    "request.auth.audiences",
    "request.auth.presenter",
    "destination.ip",
    "destination.port",
    "connection.sni",
    "source.principal",
];
