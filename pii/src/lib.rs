//! Finds personal data and secrets in what passes through a proxy, however they are encoded, and puts something harmless in their place.
//!
//! ```
//! use pii::{Engine, Entity, Place};
//!
//! let engine = Engine::default();
//! let target = b"/orders?mail=joe%2540example.com&card=4111-1111-1111-1111&ip=198.51.100.7";
//! let found = engine.find(target, Place::Text);
//! let entities: Vec<Entity> = found.spans().iter().map(|span| span.entity).collect();
//! assert_eq!(entities, [Entity::Email, Entity::Card, Entity::Ipv4]);
//! assert_eq!(
//!     engine.write(target, &found, None).as_str(),
//!     "/orders?mail=[EMAIL]&card=***************1111&ip=198.51.100.0"
//! );
//! ```
//!
//! The crate does no I/O, and reads no clock and no random source: the day is the caller's. [`Pii::read`] makes an engine of a configuration; the
//! secret of its tokens comes from the environment of the VM alone.
#![forbid(unsafe_code)]

mod checksum;
mod classify;
mod config;
mod context;
mod decode;
mod detect;
mod dispatch;
mod engine;
mod entity;
mod key;
mod memo;
mod operator;
#[cfg(feature = "regex")]
mod regex;
mod span;
mod stream;
mod tokens;

pub use config::Pii;
#[doc(hidden)]
pub use decode::Encoding;
pub use engine::{Engine, Finding, Findings, Place};
pub use entity::{Entity, Group, Set};
pub use memo::Memo;
pub use operator::{Operator, Redacted, ShortKey, TokenKey};
pub use stream::{Piece, Stream};
pub use tokens::Tokens;

/// Checksums of no entity of their own.
pub mod checksums {
    pub use crate::checksum::{mod_11_2, mod_11_10, verhoeff};
}

/// Whether a value has the checksum, or the fixed rules, of an entity, whatever separators are in it; `None` if the entity has none.
pub fn is_valid(entity: Entity, value: &str) -> Option<bool> {
    let compact: Vec<u8> =
        value.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_uppercase()).collect();
    let digits: Vec<u8> = value.bytes().filter(u8::is_ascii_digit).collect();
    match entity {
        Entity::Iban => Some(detect::payment::is_iban(&compact)),
        Entity::Card => Some(checksum::luhn(&digits)),
        Entity::CryptoWallet => Some(detect::secrets::wallet::is_valid(value.trim().as_bytes())),
        Entity::CzRodneCislo | Entity::PlNip => {
            // The numbers of firms stand with the country's code before them.
            let country = entity.id().get(..2).unwrap_or_default().to_ascii_uppercase();
            detect::identity::is_valid(entity, compact.strip_prefix(country.as_bytes()).unwrap_or(&compact))
        }
        _ => detect::identity::is_valid(entity, &compact),
    }
}
