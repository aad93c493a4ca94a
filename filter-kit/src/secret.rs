//! What a filter signs, or has had signed by others, and believes.

use crate::{Environment, settings::Field};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// The shortest secret, in bytes.
const LEAST: usize = 16;

/// A secret of the VM's environment, for HMAC-SHA-256.
#[derive(Clone)]
pub struct Secret(Hmac<Sha256>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// A signature: hexadecimal digits. It is written with [`as_str`](Self::as_str) and compared with [`is`](Self::is), and in no other way: there is no `==`,
/// which would end at the first difference and so tell how much of a forged one is right.
///
/// ```compile_fail
/// fn same(one: &filter_kit::Signature, other: &filter_kit::Signature) -> bool {
///     one == other
/// }
/// ```
#[derive(Clone)]
pub struct Signature(String);

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signature")
    }
}

impl Signature {
    /// The digits, to be sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether these are the digits. It takes as long wherever the first difference is.
    #[inline(never)]
    pub fn is(&self, digits: &str) -> bool {
        self.0.as_bytes().ct_eq(digits.as_bytes()).into()
    }
}

impl Secret {
    /// The secret in the variable that the field `secret_env` names. One that stands in the configuration itself, where whoever may read it is
    /// many, is refused, without a word of it.
    #[inline(never)]
    pub fn read(field: &Field<'_, '_>, environment: &Environment<'_>) -> Option<Self> {
        if field.get("secret").is_given() {
            let rule =
                "must not stand in a configuration: name a variable of the VM's environment in `secret_env`";
            field.get("secret").refuse(rule);
        }
        let field = field.get("secret_env");
        let name = field.text()?;
        let secret = environment.get(name);
        let Some(secret) = secret else {
            field.refuse_text("must name a variable of the VM's environment that is set", name);
            return None;
        };
        if secret.len() < LEAST {
            field.refuse_text("must name a variable whose value has at least 16 bytes", name);
        }
        Hmac::new_from_slice(secret.as_bytes()).ok().map(Self)
    }

    /// A secret of at least 16 bytes.
    pub fn new(secret: &[u8]) -> Option<Self> {
        if secret.len() < LEAST { None } else { Hmac::new_from_slice(secret).ok().map(Self) }
    }

    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        mac
    }

    /// The first half of the signature of these parts, in hexadecimal digits.
    #[inline(never)]
    pub fn sign(&self, parts: &[&[u8]]) -> Signature {
        let tag = self.mac(parts).finalize().into_bytes();
        let digits = tag.iter().take(16).flat_map(|byte| [byte >> 4, byte & 15]);
        Signature(digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect())
    }

    /// Whether this is the parts' signature, or the first half of it, in hexadecimal digits. It takes as long for one that is nearly right.
    #[inline(never)]
    pub fn has_signed(&self, parts: &[&[u8]], signature: &str) -> bool {
        let digits: Option<Vec<u8>> = signature
            .chars()
            .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect();
        let bytes: Vec<u8> = digits
            .unwrap_or_default()
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
            .collect();
        matches!((signature.len(), bytes.len()), (32, 16) | (64, 32))
            && self.mac(parts).verify_truncated_left(&bytes).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;
    use crate::{
        Environment,
        settings::{Field, Node},
    };
    use std::cell::RefCell;

    fn read(config: &str, value: &str) -> Result<Option<Secret>, String> {
        let variables = |name: &str| (name == "SECRET").then(|| value.to_owned());
        let node = Node::parse(config.as_bytes()).unwrap();
        let refused = RefCell::default();
        let field = Field::root(&node, &refused);
        let secret = Secret::read(&field, &Environment::new(&variables));
        field.finish(secret).map_err(|error| error.to_string())
    }

    #[test]
    fn a_signature_is_the_published_one_and_no_other() {
        // printf checkout:b | openssl dgst -sha256 -hmac 0123456789abcdef
        let secret = read(r#"{"secret_env":"SECRET"}"#, "0123456789abcdef").unwrap().unwrap();
        let signature = "270dd924e59492473753afc8076b079cb158fe3b838767edfd7821e51f0aecdb";
        let (half, _) = signature.split_at(32);
        let own = secret.sign(&[b"checkout:", b"b"]);
        assert_eq!(own.as_str(), half);
        assert!(own.is(half) && !own.is("") && !own.is(signature));
        for place in 0..half.len() {
            let wrong = |(at, digit): (usize, char)| match digit {
                '0' if at == place => '1',
                _ if at == place => '0',
                digit => digit,
            };
            let forged: String = half.chars().enumerate().map(wrong).collect();
            assert!(!own.is(&forged), "{forged}");
        }
        assert!(secret.has_signed(&[b"checkout:b"], signature) && secret.has_signed(&[b"checkout:b"], half));
        for forged in [
            "",
            "00",
            &signature.replacen('2', "", 1),
            &signature.replacen('a', "b", 1),
            &"z".repeat(64),
            &"é".repeat(16),
        ] {
            assert!(!secret.has_signed(&[b"checkout:b"], forged), "{forged}");
        }
        assert!(!secret.has_signed(&[b"checkout:c"], signature));
    }

    #[test]
    fn a_secret_that_is_absent_short_or_in_the_configuration_is_refused() {
        let refused = |config, value| read(config, value).unwrap_err();
        assert!(read("{}", "").unwrap().is_none());
        assert_eq!(
            refused(r#"{"secret_env":"OTHER"}"#, ""),
            "secret_env: must name a variable of the VM's environment that is set, got \"OTHER\""
        );
        assert!(refused(r#"{"secret_env":"SECRET"}"#, "short").contains("at least 16 bytes, got \"SECRET\""));
        let plain = refused(r#"{"secret":"hunter2hunter2hunter2"}"#, "");
        assert!(plain.starts_with("secret: must not stand in a configuration") && !plain.contains("hunter2"));
    }
}
