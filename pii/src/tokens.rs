//! Where the keys of tokens come from.

use crate::TokenKey;
use filter_kit::{Environment, settings::Field};
use std::cell::RefCell;

/// The keys of tokens: one secret, and of it a key a day. Without a secret there are none, and a token is the type in brackets.
#[derive(Debug, Default)]
pub struct Tokens {
    source: Option<Source>,
    /// The last day's key: making one costs four blocks of SHA-256.
    last: RefCell<Option<(u32, TokenKey)>>,
}

struct Source {
    secret: Box<[u8]>,
    id: Box<str>,
    tenant: Box<str>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Source({})", self.id)
    }
}

impl Tokens {
    /// Reads `{"key_env", "key_id", "tenant"}`. A secret that stands in the configuration itself is refused, without a word of it.
    pub(crate) fn read(config: &Field<'_, '_>, environment: &Environment<'_>) -> Self {
        // The key itself is among the names so that it is refused with the reason.
        config.only(&["key_env", "key_id", "tenant", "key"]);
        if config.get("key").is_given() {
            let rule = "must not stand in the configuration; name a variable of the VM's environment in token.key_env";
            config.get("key").refuse(rule);
        }
        let [variable, id, tenant] = ["key_env", "key_id", "tenant"].map(|name| config.get(name));
        if !variable.is_given() && (id.is_given() || tenant.is_given()) {
            variable.refuse("must name a variable of the VM's environment, got nothing");
        }
        let named = id.text().unwrap_or("k1");
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=16).contains(&named.len()) || !named.bytes().all(is_name) {
            id.refuse_text("must be 1 to 16 letters, digits, `-` or `_`", named);
        }
        let tenant = tenant.text().unwrap_or_default();
        let source = variable.text().and_then(|name| {
            let Some(secret) = environment.get(name) else {
                variable.refuse_text("must name a variable of the VM's environment that is set", name);
                return None;
            };
            if secret.len() < TokenKey::SHORTEST {
                variable.refuse_text("must name a variable whose value has at least 16 bytes", name);
            }
            Some(Source { secret: secret.into_bytes().into(), id: named.into(), tenant: tenant.into() })
        });
        Self { source, last: RefCell::default() }
    }

    /// The key of a day, counted from any fixed one, such as the days since 1970; none where the configuration names no secret.
    pub fn key(&self, day: u32) -> Option<TokenKey> {
        let source = self.source.as_ref()?;
        let mut last = self.last.borrow_mut();
        match &*last {
            Some((of, key)) if *of == day => Some(key.clone()),
            _ => {
                let key = TokenKey::new(&source.secret, &source.id, &source.tenant, day).ok()?;
                *last = Some((day, key.clone()));
                Some(key)
            }
        }
    }
}
