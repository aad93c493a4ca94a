//! A realm that gives tokens for a registry (Docker Registry v2 authentication): signed by a certificate of this run that the registry trusts.

use crate::{
    http::Message,
    upstream::{self, Answer},
};
use anyhow::{Context as _, Result, ensure};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rcgen::{CertificateParams, KeyPair, SigningKey as _};
use serde_json::{Value, json};
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

const ISSUER: &str = "a realm of this run";
const SERVICE: &str = "a registry of this run";
/// `user:pass` in Basic.
const BASIC: &[u8] = b"Basic dXNlcjpwYXNz";
/// How long a token lasts, in seconds.
const LIFE: u64 = 300;

/// The realm, running until the process ends.
pub struct Realm {
    address: SocketAddr,
    certificate: String,
}

impl Realm {
    /// Starts it on a free port of loopback.
    ///
    /// # Errors
    /// It cannot listen, or make a certificate.
    pub fn start() -> Result<Self> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec!["realm.example".to_owned()])?.self_signed(&key)?;
        let (pem, der) = (certificate.pem(), STANDARD.encode(certificate.der()));
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        upstream::serve(listener, move |message| answer(&message, &key, &der));
        Ok(Self { address, certificate: pem })
    }

    /// What a registry has to know of it.
    ///
    /// # Errors
    /// The certificate cannot be written into the folder.
    pub fn config(&self, folder: &Path) -> Result<Value> {
        let bundle = folder.join("realm.pem");
        fs::write(&bundle, &self.certificate)?;
        let realm = format!("http://{}/token", self.address);
        Ok(json!({"token": {"realm": realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": bundle}}))
    }
}

/// Who gives no password, or the right one, gets a token; the one may read, the other write.
fn answer(message: &Message, key: &KeyPair, certificate: &str) -> Answer {
    let target = &message.first[1];
    let authorization = message.header("authorization");
    if authorization.is_some_and(|value| value != BASIC) {
        return upstream::plain(401, b"{}".to_vec());
    }
    let actions = if authorization.is_some() { json!(["pull", "push"]) } else { json!(["pull"]) };
    let token = token(target, &actions, key, certificate);
    match token {
        Ok(token) => upstream::plain(200, json!({"token": token}).to_string().into_bytes()),
        Err(error) => upstream::plain(400, error.to_string().into_bytes()),
    }
}

/// A JSON Web Token (RFC 7519) with the access that was asked for, or less.
fn token(target: &str, actions: &Value, key: &KeyPair, certificate: &str) -> Result<String> {
    let scope = target.split(['?', '&']).find_map(|pair| pair.strip_prefix("scope="));
    let scope = scope.context("no scope")?.replace("%3A", ":").replace("%2F", "/").replace("%2D", "-");
    let repository = scope.split(':').nth(1).context("a scope has three parts")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [certificate]});
    let claims = json!({
        "iss": ISSUER, "sub": "user", "aud": SERVICE, "jti": now.to_string(),
        "nbf": now - LIFE, "iat": now, "exp": now + LIFE,
        "access": [{"type": "repository", "name": repository, "actions": actions}]
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&header), part(&claims));
    let signature = fixed(&key.sign(text.as_bytes())?)?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// A signature as JSON Web Algorithms want it (RFC 7518, 3.4), two numbers of 32 bytes each, out of ASN.1's sequence of two integers.
fn fixed(signature: &[u8]) -> Result<Vec<u8>> {
    let mut rest = signature.get(2..).context("the signature is no sequence")?;
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let [2, length, ..] = *rest else { anyhow::bail!("the signature has no integer") };
        let (number, after) = rest[2..].split_at_checked(usize::from(length)).context("an integer is cut")?;
        let digits = number.strip_prefix(&[0]).unwrap_or(number);
        ensure!(digits.len() <= 32, "an integer of {} bytes", digits.len());
        numbers.extend(std::iter::repeat_n(0, 32 - digits.len()));
        numbers.extend(digits);
        rest = after;
    }
    Ok(numbers)
}
