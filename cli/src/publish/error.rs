//! What goes wrong with a registry, and what to do about it.

use std::fmt;

/// Why something was not published, or a registry was not read.
#[derive(Debug)]
pub enum RegistryError {
    /// No connection, or one that broke.
    Unreachable { host: String, problem: String },
    /// The registry's certificate is not trusted, or TLS failed otherwise.
    Tls { host: String, problem: String },
    /// HTTPS was spoken with a server of plain HTTP.
    NoTls { host: String },
    /// Plain HTTP was spoken with a server of HTTPS.
    NeedsTls { host: String },
    /// Docker's configuration, or a program that it names, gives no credentials.
    Credentials { host: String, problem: String },
    /// 401 without credentials.
    CredentialsMissing { host: String, realm: Option<String> },
    /// 401 with credentials.
    CredentialsRefused { host: String, realm: Option<String> },
    /// A way of authentication that this client does not know, or must not use.
    Challenge { host: String, problem: String },
    /// 403: known, and not allowed.
    Forbidden { name: String, message: String },
    /// 404 where a repository should be.
    NoRepository { name: String, message: String },
    /// The tag is another manifest's.
    TagTaken { reference: String, theirs: String, ours: String },
    /// The registry has another digest under the tag than what was pushed a moment ago.
    AnotherDigest { reference: String, theirs: String, ours: String },
    /// Another status than the specification's.
    Status { doing: String, status: u16, message: String },
    /// An answer that the specification does not have.
    Garbage { doing: String, problem: String },
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_realm = |realm: &Option<String>| {
            realm.as_ref().map_or_else(String::new, |realm| format!(" (its realm is {realm})"))
        };
        match self {
            Self::Unreachable { host, problem } => {
                write!(
                    f,
                    "{host}: cannot be reached: {problem}; is the registry running, and its name right?"
                )
            }
            Self::Tls { host, problem } => write!(
                f,
                "{host}: no TLS connection: {problem}; a certificate of your own authority is trusted with --ca-file FILE"
            ),
            Self::NoTls { host } => {
                write!(f, "{host}: does not speak TLS; for a registry without it, say --plain-http")
            }
            Self::NeedsTls { host } => write!(f, "{host}: speaks TLS alone; leave --plain-http out"),
            Self::Credentials { host, problem } => write!(
                f,
                "{host}: no credentials to be had: {problem}; repair Docker's configuration, or run `docker login {host}`"
            ),
            Self::CredentialsMissing { host, realm } => write!(
                f,
                "{host}: asks for credentials{}, and Docker's configuration has none for it: run `docker login {host}`, or \
                 name a folder with a config.json in $DOCKER_CONFIG",
                of_realm(realm)
            ),
            Self::CredentialsRefused { host, realm } => write!(
                f,
                "{host}: refuses the credentials of Docker's configuration{}: run `docker login {host}` again",
                of_realm(realm)
            ),
            Self::Challenge { host, problem } => write!(f, "{host}: {problem}"),
            Self::Forbidden { name, message } => {
                write!(
                    f,
                    "{name}: the registry forbids it{}: these credentials need the right to push there",
                    said(message)
                )
            }
            Self::NoRepository { name, message } => write!(
                f,
                "{name}: the registry has no such repository{}: check its name; some registries want it made before a push",
                said(message)
            ),
            Self::TagTaken { reference, theirs, ours } => write!(
                f,
                "{reference}: is there with another digest, {theirs}, and this module is {ours}: take a new tag, or --force to \
                 move this one"
            ),
            Self::AnotherDigest { reference, theirs, ours } => write!(
                f,
                "{reference}: {ours} was pushed, and the registry has {theirs} under the tag: somebody else pushed at the same \
                 time, or the registry changes manifests; look at who writes to it, and pin by digest"
            ),
            Self::Status { doing, status, message } => {
                write!(
                    f,
                    "{doing}: the registry answered {status}{}: try again, and look into its log",
                    said(message)
                )
            }
            Self::Garbage { doing, problem } => {
                write!(f, "{doing}: {problem}: is this an OCI registry, or a proxy in front of one?")
            }
        }
    }
}

impl std::error::Error for RegistryError {}

/// What a registry said, where it said something.
fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(" ({message})") }
}
