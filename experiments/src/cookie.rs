//! Cookies: that of a visitor without an id, that of kept assignments, and those that name arms.

use filter_kit::{View, choices, settings::Field};

/// The longest lifetime of a cookie that browsers keep to, in seconds: 400 days (RFC 6265bis, 5.5).
const MAX_AGE_LIMIT: i64 = 400 * 24 * 60 * 60;

/// The lifetime of a cookie of which none is given, in seconds: a year.
const MAX_AGE: i64 = 365 * 24 * 60 * 60;

/// A visitor's random id: 128 bits in lower-case hexadecimal digits.
pub type VisitorId = [u8; 32];

/// Whether the browser sends a cookie with requests that other sites cause (RFC 6265bis, 5.4.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SameSite {
    Strict,
    Lax,
    None,
}

choices!(SameSite { "strict" => Strict, "lax" => Lax, "none" => None });

/// A cookie, compiled: its name, and what follows the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetCookie {
    /// The name.
    pub name: Box<str>,
    attributes: Box<str>,
}

impl SetCookie {
    /// Reads a cookie: `name` (a token), `max_age` (seconds), `path`, `domain`, `secure`, `http_only` and `same_site`. What is not given is a
    /// year, the whole host, and no more openness than is needed. Refuses what no browser would accept.
    #[inline(never)]
    pub fn read(field: &Field<'_, '_>, default: &str) -> Self {
        field.only(&["name", "max_age", "path", "domain", "secure", "http_only", "same_site"]);
        let [name_at, path_at, domain_at, secure_at, max_age] =
            ["name", "path", "domain", "secure", "max_age"].map(|name| field.get(name));
        let name = name_at.text().unwrap_or(default);
        let is_token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
        if !(1..=128).contains(&name.len()) || !name.bytes().all(is_token) {
            name_at.refuse_text("must be a token of 1 to 128 characters", name);
        }
        let max_age = max_age.whole(1, MAX_AGE_LIMIT).unwrap_or(MAX_AGE);
        let path = path_at.text().unwrap_or("/");
        let is_attribute = |c: u8| c.is_ascii_graphic() && c != b';';
        if !path.starts_with('/') || path.len() > 1024 || !path.bytes().all(is_attribute) {
            let rule = "must begin with `/`, without spaces and semicolons, in at most 1024 characters";
            path_at.refuse_text(rule, path);
        }
        let domain = domain_at.text();
        let is_host = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'.';
        if domain.is_some_and(|host| !(1..=253).contains(&host.len()) || !host.bytes().all(is_host)) {
            domain_at.refuse_text("must be a host name", domain.unwrap_or_default());
        }
        let (secure, http_only) = (secure_at.flag(true), field.get("http_only").flag(true));
        let same_site = SameSite::read(&field.get("same_site")).unwrap_or(SameSite::Lax);
        let begins =
            |prefix: &str| name.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix));
        if !secure && (same_site == SameSite::None || begins("__Host-") || begins("__Secure-")) {
            secure_at.refuse(
                "must be true with same_site none, and for a name that begins with __Host- or __Secure-",
            );
        }
        if begins("__Host-") && (path != "/" || domain.is_some()) {
            name_at.refuse("must not begin with __Host- unless the path is `/` and there is no domain");
        }
        let site = match same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        };
        let max_age = max_age.to_string();
        let attributes = [
            "; Max-Age=",
            &max_age,
            "; Path=",
            path,
            if domain.is_some() { "; Domain=" } else { "" },
            domain.unwrap_or_default(),
            if secure { "; Secure" } else { "" },
            if http_only { "; HttpOnly" } else { "" },
            site,
        ];
        Self { name: name.into(), attributes: attributes.concat().into() }
    }

    /// The value of the `set-cookie` header that gives the cookie this value.
    pub fn set(&self, value: &str) -> String {
        [&self.name, "=", value, &self.attributes].concat()
    }
}

/// A new visitor's id; `None` when the host has no random bytes.
pub fn new_visitor(view: &View<'_>) -> Option<VisitorId> {
    let random: [u8; 16] = view.random()?;
    let mut id = [b'0'; 32];
    for (digit, nibble) in id.iter_mut().zip(random.iter().flat_map(|byte| [byte >> 4, byte & 15])) {
        *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    }
    Some(id)
}
