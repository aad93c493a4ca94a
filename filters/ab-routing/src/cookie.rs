//! The cookie that keeps a visitor without an id in one arm.

use filter_kit::{ConfigError, View, choices, fields};

/// The longest lifetime of a cookie that browsers keep to, in seconds: 400 days (RFC 6265bis, 5.5).
const MAX_AGE_LIMIT: i64 = 400 * 24 * 60 * 60;

/// A visitor's random id: 128 bits in lower-case hexadecimal digits.
pub(crate) type VisitorId = [u8; 32];

/// The cookie as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieConfig {
    /// The cookie's name, a token. `__Host-` and `__Secure-` ask for what browsers ask for.
    pub name: String,
    /// The lifetime in seconds, 1 to 34,560,000 (400 days).
    pub max_age: i64,
    /// The path that the browser sends the cookie to.
    pub path: String,
    /// The domain, for a cookie that subdomains get too; without it the host alone gets it.
    pub domain: Option<String>,
    /// Whether the browser sends it over TLS only.
    pub secure: bool,
    /// Whether scripts in the page cannot read it.
    pub http_only: bool,
    /// Whether the browser sends it with requests that other sites cause.
    pub same_site: SameSite,
}

/// Whether the browser sends a cookie with requests that other sites cause (RFC 6265bis, 5.4.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// Never.
    Strict,
    /// Only when the user follows a link.
    Lax,
    /// Always; the cookie must be secure.
    None,
}

fields!(CookieConfig { name, max_age, path, domain, secure, http_only, same_site });
choices!(SameSite { "strict" => Strict, "lax" => Lax, "none" => None });

impl Default for CookieConfig {
    /// A year, the whole host, and no more openness than is needed.
    fn default() -> Self {
        Self {
            name: "visitor".to_owned(),
            max_age: 365 * 24 * 60 * 60,
            path: "/".to_owned(),
            domain: None,
            secure: true,
            http_only: true,
            same_site: SameSite::Lax,
        }
    }
}

/// The cookie, compiled: its name, and what follows the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VisitorCookie {
    pub(crate) name: Box<str>,
    attributes: Box<str>,
}

impl CookieConfig {
    /// Compiles the cookie.
    ///
    /// # Errors
    /// An attribute that no browser would accept, with its field.
    #[inline(never)]
    pub(crate) fn compile(&self) -> Result<VisitorCookie, ConfigError> {
        let refuse = |field: &str, rule: &str, got: &dyn std::fmt::Debug| {
            Err(ConfigError::new(field, format!("{rule}, got {got:?}")))
        };
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if self.name.is_empty() || self.name.len() > 128 || !self.name.chars().all(is_token) {
            return refuse("name", "must be a token of 1 to 128 characters", &self.name);
        }
        if !(1..=MAX_AGE_LIMIT).contains(&self.max_age) {
            return refuse("max_age", "must be 1..=34560000 (400 days)", &self.max_age);
        }
        let is_attribute = |c: char| c.is_ascii_graphic() && c != ';';
        if !self.path.starts_with('/') || self.path.len() > 1024 || !self.path.chars().all(is_attribute) {
            return refuse(
                "path",
                "must begin with `/`, without spaces and semicolons, in at most 1024 characters",
                &self.path,
            );
        }
        let is_host = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        if let Some(domain) = &self.domain
            && (domain.is_empty() || domain.len() > 253 || !domain.chars().all(is_host))
        {
            return refuse("domain", "must be a host name", domain);
        }
        if !self.secure && self.same_site == SameSite::None {
            return refuse("secure", "must be true with same_site none", &self.secure);
        }
        let prefix = ["__Host-", "__Secure-"]
            .into_iter()
            .find(|prefix| self.name.to_ascii_lowercase().starts_with(&prefix.to_ascii_lowercase()));
        if !self.secure
            && let Some(prefix) = prefix
        {
            return refuse(
                "secure",
                &format!("must be true for a name that begins with {prefix}"),
                &self.secure,
            );
        }
        if prefix == Some("__Host-") && (self.path != "/" || self.domain.is_some()) {
            return refuse(
                "name",
                "must not begin with __Host- unless the path is `/` and there is no domain",
                &self.name,
            );
        }
        let mut attributes = format!("; Max-Age={}; Path={}", self.max_age, self.path);
        if let Some(domain) = &self.domain {
            attributes.push_str("; Domain=");
            attributes.push_str(domain);
        }
        for (is_set, attribute) in [(self.secure, "; Secure"), (self.http_only, "; HttpOnly")] {
            attributes.push_str(if is_set { attribute } else { "" });
        }
        attributes.push_str(match self.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        });
        Ok(VisitorCookie { name: self.name.as_str().into(), attributes: attributes.into() })
    }
}

impl VisitorCookie {
    /// The value of the `set-cookie` header that gives a visitor this id.
    pub(crate) fn set(&self, id: &VisitorId) -> String {
        let id = std::str::from_utf8(id).unwrap_or_default();
        [&self.name, "=", id, &self.attributes].concat()
    }
}

/// A new visitor's id; `None` when the host has no random bytes.
pub(crate) fn new_visitor(view: &View<'_>) -> Option<VisitorId> {
    let random: [u8; 16] = view.random()?;
    let mut id = [b'0'; 32];
    for (digit, nibble) in id.iter_mut().zip(random.iter().flat_map(|byte| [byte >> 4, byte & 15])) {
        *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    }
    Some(id)
}
