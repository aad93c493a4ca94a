//! Words that segments are told by, in lower case.

/// What stands below one of these is somebody's.
#[rustfmt::skip]
pub(super) const PEOPLE: &[&str] = &[
    "accounts", "author", "authors", "clients", "contacts", "customer", "customers", "employee",
    "employees", "friend", "friends", "guest", "guests", "leads", "member", "members", "owner", "owners",
    "patient", "patients", "people", "person", "persons", "player", "players", "profiles", "student",
    "students", "subscribers", "teachers", "u", "user", "users", "visitors",
];

/// Words that stand below those, and name nobody.
#[rustfmt::skip]
pub(super) const ACTIONS: &[&str] = &[
    "account", "accounts", "activate", "active", "activity", "add", "addresses", "admin", "all", "api",
    "apps", "auth", "avatar", "avatars", "batch", "billing", "block", "blocked", "bulk", "cart", "count",
    "create", "current", "dashboard", "data", "deactivate", "delete", "details", "devices", "edit",
    "emails", "events", "exists", "export", "favorites", "feed", "files", "filter", "find", "followers",
    "following", "groups", "health", "history", "home", "image", "images", "import", "inactive", "index",
    "info", "installations", "invitations", "invite", "invites", "issues", "keys", "list", "lists",
    "login", "logout", "lookup", "me", "messages", "metrics", "migrations", "new", "notifications",
    "online", "orders", "orgs", "packages", "password", "passwords", "payments", "permissions", "photo",
    "preferences", "private", "profile", "profiles", "projects", "public", "query", "recent", "refresh",
    "register", "registration", "remove", "reports", "repos", "reset", "roles", "schema", "search",
    "section", "self", "sessions", "settings", "show", "sign-in", "sign-out", "sign-up", "sign_in",
    "sign_out", "sign_up", "signin", "signout", "signup", "starred", "stats", "status", "subscriptions",
    "suggestions", "sync", "tags", "teams", "test", "token", "tokens", "top", "types", "unblock", "update",
    "upload", "users", "validate", "verification", "verify", "whoami",
];

/// Letters and digits that are words all the same, beside versions and what has three characters with a digit at the end.
#[rustfmt::skip]
pub(super) const MIXED: &[&str] = &[
    "2d", "2fa", "3d", "3ds", "3ds2", "4k", "a11y", "auth0", "b2b", "b2c", "base32", "base58", "base64",
    "base64url", "c2c", "css3", "d3js", "h264", "h265", "html5", "http2", "http3", "i18n", "int32",
    "int64", "ipv4", "ipv6", "json5", "k8s", "l10n", "log4", "log4j", "m2m", "m365", "m3u8", "o11y",
    "o365", "oauth1", "oauth2", "oauth2callback", "openapi2", "openapi3", "p2p", "pkcs12", "python3",
    "s3api", "saml2", "sha1", "sha256", "sha384", "sha512", "swagger2", "tls12", "tls13", "utf16", "utf8",
    "vue3", "w3c", "web3", "web3js", "win32", "win64", "x509", "x64", "x86",
];

/// What pages, scripts and data of a site end in: named by who makes the site.
#[rustfmt::skip]
pub(super) const PAGES: &[&str] = &[
    "action", "asp", "aspx", "atom", "cgi", "css", "do", "htm", "html", "ico", "js", "json", "jsp", "map",
    "md", "mjs", "php", "rss", "svg", "ttf", "txt", "wasm", "webmanifest", "woff", "woff2", "xml", "yaml",
    "yml",
];

/// What documents, pictures and archives end in: named by anyone.
#[rustfmt::skip]
pub(super) const DOCUMENTS: &[&str] = &[
    "7z", "aac", "apk", "avi", "avif", "bak", "bin", "bmp", "bz2", "csv", "deb", "dmg", "doc", "docx",
    "eml", "eot", "epub", "exe", "flac", "gif", "gz", "heic", "ics", "img", "iso", "jar", "jpeg", "jpg",
    "key", "log", "m3u8", "m4a", "m4s", "m4v", "mkv", "mov", "mp3", "mp4", "mpd", "msi", "ods", "odt",
    "ogg", "otf", "parquet", "pdf", "pem", "png", "ppt", "pptx", "ps", "psd", "rar", "rpm", "rtf", "sql",
    "svgz", "swf", "tar", "tgz", "tif", "tiff", "ts", "tsv", "vcf", "wav", "webm", "webp", "xls", "xlsx",
    "xz", "zip", "zst",
];
