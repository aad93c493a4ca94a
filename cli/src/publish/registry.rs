//! A client of registries (OCI Distribution Specification 1.1): just what a push, and the look-up of a tag, need.

use super::{
    auth::{self, Access},
    error::RegistryError,
    package::{Blob, MANIFEST, Package, digest},
    reference::Reference,
};
use rustls::{CertificateError, Error as TlsError};
use serde::Deserialize;
use std::{error::Error as _, fs, io, path::PathBuf, sync::Arc, time::Duration};
use ureq::{
    Agent,
    http::{HeaderMap, HeaderName, Request, header, request::Builder},
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

/// What a manifest may be when a tag is looked up: ours, Docker's, or a list of either.
const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
                      application/vnd.docker.distribution.manifest.v2+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json";
const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The most bytes of an answer that are read: the limit of manifests in the specification.
const ANSWER_LIMIT: u64 = 4 << 20;
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_mins(1);
const UPLOAD: Duration = Duration::from_mins(10);

/// How to speak with a registry.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Speak HTTP without TLS with the registry.
    #[arg(long)]
    plain_http: bool,
    /// A PEM file of authorities that are trusted beside the system's.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// An HTTP client.
pub struct Http {
    agent: Agent,
    is_plain: bool,
}

/// An answer, whatever its status.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// The errors in an answer's body.
#[derive(Deserialize)]
struct Errors {
    errors: Vec<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// A repository of a registry.
pub struct Registry<'a> {
    http: &'a Http,
    reference: &'a Reference,
    /// `https://HOST/v2/REPOSITORY`.
    base: String,
    repository: String,
    access: Access,
    authorization: Option<String>,
}

/// A request to a registry, which may have to be made twice.
#[derive(Default)]
struct Call<'a> {
    method: &'a str,
    url: &'a str,
    header: Option<(HeaderName, &'a str)>,
    body: &'a [u8],
}

impl Call<'_> {
    fn request(&self) -> Builder {
        let request = Request::builder().method(self.method).uri(self.url);
        match &self.header {
            Some((name, value)) => request.header(name, *value),
            None => request,
        }
    }
}

/// What a push came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the registry now.
    New,
    /// It was there already.
    Unchanged,
}

impl Http {
    /// A client with the system's authorities and those of a file.
    ///
    /// # Errors
    /// The file cannot be read or holds no certificate.
    pub fn new(connection: &Connection) -> Result<Self, String> {
        let system = rustls_native_certs::load_native_certs();
        let mut roots: Vec<_> =
            system.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
        if let Some(path) = &connection.ca_file {
            let failed = |problem: &str| format!("--ca-file {}: {problem}", path.display());
            let text = fs::read(path).map_err(|error| failed(&error.to_string()))?;
            let before = roots.len();
            for item in parse_pem(&text) {
                if let PemItem::Certificate(certificate) = item.map_err(|error| failed(&error.to_string()))? {
                    roots.push(certificate);
                }
            }
            if roots.len() == before {
                return Err(failed("holds no certificate in PEM"));
            }
        }
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::from(roots))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("outrigger/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .timeout_recv_body(Some(ANSWER))
            .timeout_send_body(Some(UPLOAD))
            .tls_config(tls)
            .build()
            .new_agent();
        Ok(Self { agent, is_plain: connection.plain_http })
    }

    /// Whether HTTP without TLS was asked for.
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Sends a request and reads the answer, whatever its status. `doing` is what it is for.
    ///
    /// # Errors
    /// There is no answer.
    pub fn send(&self, request: Builder, body: &[u8], doing: &str) -> Result<Answer, RegistryError> {
        let garbage = |problem: String| RegistryError::Garbage { doing: doing.to_owned(), problem };
        let request = request.body(body).map_err(|error| garbage(error.to_string()))?;
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let has_body = !matches!(request.method().as_str(), "GET" | "HEAD");
        let sent = if has_body { self.agent.run(request) } else { self.agent.run(request.map(|_| ())) };
        let mut response = sent.map_err(|error| self.failure(host.clone(), doing, &error))?;
        let body = response.body_mut().with_config().limit(ANSWER_LIMIT).read_to_vec();
        let body = body.map_err(|error| self.failure(host.clone(), doing, &error))?;
        if self.is_plain && response.status() == 400 && body.windows(12).any(|text| text == b"HTTPS server") {
            return Err(RegistryError::NeedsTls { host });
        }
        Ok(Answer { status: response.status().as_u16(), headers: response.headers().clone(), body })
    }

    /// What an error of the HTTP client means here.
    fn failure(&self, host: String, doing: &str, error: &ureq::Error) -> RegistryError {
        let tls = match error {
            ureq::Error::Rustls(error) => Some(error),
            ureq::Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()),
            _ => None,
        };
        match (tls, error) {
            (Some(TlsError::InvalidMessage(_)), _) => RegistryError::NoTls { host },
            (Some(TlsError::InvalidCertificate(CertificateError::UnknownIssuer)), _) => {
                RegistryError::Tls { host, problem: "its certificate is of an unknown authority".to_owned() }
            }
            (Some(tls), _) => RegistryError::Tls { host, problem: tls.to_string() },
            (
                None,
                ureq::Error::Protocol(_) | ureq::Error::TooManyRedirects | ureq::Error::BodyExceedsLimit(_),
            ) => RegistryError::Garbage {
                doing: doing.to_owned(),
                problem: format!("no answer of a registry ({error})"),
            },
            (None, ureq::Error::Io(error))
                if !self.is_plain && error.kind() == io::ErrorKind::UnexpectedEof =>
            {
                let problem =
                    "the connection was closed; a registry without TLS needs --plain-http".to_owned();
                RegistryError::Unreachable { host, problem }
            }
            (None, ureq::Error::Io(error)) => RegistryError::Unreachable { host, problem: reason(error) },
            (None, other) => RegistryError::Unreachable { host, problem: other.to_string() },
        }
    }
}

impl Answer {
    /// An error for a status that is not expected.
    pub fn unexpected(&self, doing: &str) -> RegistryError {
        RegistryError::Status { doing: doing.to_owned(), status: self.status, message: self.message() }
    }

    /// What the registry says in its body.
    fn message(&self) -> String {
        let errors: Option<Errors> = serde_json::from_slice(&self.body).ok();
        let first = errors.and_then(|errors| errors.errors.into_iter().next());
        first.map(|Reason { code, message }| format!("{code}: {message}")).unwrap_or_default()
    }

    fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl<'a> Registry<'a> {
    /// The repository of a reference.
    pub fn new(http: &'a Http, reference: &'a Reference, access: Access) -> Self {
        let scheme = if http.is_plain { "http" } else { "https" };
        // Docker Hub's registry is on another host than its name, and its own images are in `library`.
        let is_hub = reference.host == "docker.io";
        let host = if is_hub { "registry-1.docker.io" } else { &reference.host };
        let is_library = is_hub && !reference.repository.contains('/');
        let repository = format!("{}{}", if is_library { "library/" } else { "" }, reference.repository);
        let base = format!("{scheme}://{host}/v2/{repository}");
        Self { http, reference, base, repository, access, authorization: None }
    }

    /// Pushes a package under the reference's tag, and looks whether the registry has it there.
    ///
    /// # Errors
    /// The registry does not take it; or has another manifest under the tag, and `force` is not given.
    pub fn push(&mut self, package: &Package, force: bool) -> Result<Pushed, RegistryError> {
        let ours = &package.manifest.digest;
        match self.digest_of_tag()? {
            Some(theirs) if theirs == *ours => return Ok(Pushed::Unchanged),
            Some(theirs) if !force => {
                let reference = self.reference.to_string();
                return Err(RegistryError::TagTaken { reference, theirs, ours: ours.clone() });
            }
            _ => {}
        }
        for blob in &package.blobs {
            self.push_blob(blob)?;
        }
        let doing = format!("the manifest of {}", self.reference);
        let url = self.manifest_url();
        let header = Some((header::CONTENT_TYPE, MANIFEST));
        let put = Call { method: "PUT", url: &url, header, body: &package.manifest.bytes };
        let answer = self.send(&put, &doing)?;
        if answer.status != 201 {
            return Err(self.refusal(&answer, &doing));
        }
        let theirs = self.digest_of_tag()?.unwrap_or_else(|| "nothing".to_owned());
        if theirs == *ours {
            return Ok(Pushed::New);
        }
        let reference = self.reference.to_string();
        Err(RegistryError::AnotherDigest { reference, theirs, ours: ours.clone() })
    }

    /// The digest of what has the reference's tag; none if there is nothing.
    ///
    /// # Errors
    /// The registry does not say.
    pub fn digest_of_tag(&mut self) -> Result<Option<String>, RegistryError> {
        let doing = format!("the digest of {}", self.reference);
        for method in ["HEAD", "GET"] {
            let url = self.manifest_url();
            let header = Some((header::ACCEPT, ACCEPT));
            let answer = self.send(&Call { method, url: &url, header, body: b"" }, &doing)?;
            match answer.status {
                200 => {}
                404 => return Ok(None),
                // A HEAD's answer has no body, and so no reason.
                _ if method == "HEAD" => continue,
                _ => return Err(self.refusal(&answer, &doing)),
            }
            let theirs = match (method, answer.header(DIGEST)) {
                ("HEAD", None) => continue,
                ("HEAD", Some(theirs)) => theirs.to_owned(),
                _ if is_manifest(&answer.body) => digest(&answer.body),
                _ => {
                    let problem = "the answer is no manifest".to_owned();
                    return Err(RegistryError::Garbage { doing, problem });
                }
            };
            if theirs.strip_prefix("sha256:").is_some_and(crate::check::url::is_sha256) {
                return Ok(Some(theirs));
            }
            let problem = format!("the registry gives `{}` for a digest", theirs.escape_debug());
            return Err(RegistryError::Garbage { doing, problem });
        }
        Ok(None)
    }

    fn manifest_url(&self) -> String {
        format!("{}/manifests/{}", self.base, self.reference.tag.as_deref().unwrap_or("latest"))
    }

    fn push_blob(&mut self, blob: &Blob) -> Result<(), RegistryError> {
        let doing = format!("a blob of {}", self.reference);
        let url = format!("{}/blobs/{}", self.base, blob.digest);
        let answer = self.send(&Call { method: "HEAD", url: &url, ..Call::default() }, &doing)?;
        match answer.status {
            200 => return Ok(()),
            404 => {}
            _ => return Err(self.refusal(&answer, &doing)),
        }
        let doing = format!("the upload of a blob of {}", self.reference);
        let url = format!("{}/blobs/uploads/", self.base);
        let answer = self.send(&Call { method: "POST", url: &url, ..Call::default() }, &doing)?;
        if answer.status != 202 {
            return Err(self.refusal(&answer, &doing));
        }
        let place = self.place(&answer, &doing)?;
        let separator = if place.contains('?') { '&' } else { '?' };
        let url = format!("{place}{separator}digest={}", blob.digest);
        let header = Some((header::CONTENT_TYPE, "application/octet-stream"));
        let answer = self.send(&Call { method: "PUT", url: &url, header, body: &blob.bytes }, &doing)?;
        if answer.status == 201 { Ok(()) } else { Err(self.refusal(&answer, &doing)) }
    }

    /// Where an upload goes on: the header `location`, which may be a path of this host.
    fn place(&self, answer: &Answer, doing: &str) -> Result<String, RegistryError> {
        let garbage = |problem: String| RegistryError::Garbage { doing: doing.to_owned(), problem };
        let place = answer.header(header::LOCATION);
        let place = place.ok_or_else(|| garbage("the answer does not say where to upload to".to_owned()))?;
        if place.starts_with('/') {
            return Ok(format!("{}{place}", self.origin()));
        }
        if place.starts_with("https://") || (self.http.is_plain && place.starts_with("http://")) {
            return Ok(place.to_owned());
        }
        Err(garbage(format!(
            "the registry wants the upload at `{}`, which is not https",
            place.escape_debug()
        )))
    }

    /// `https://HOST`.
    fn origin(&self) -> &str {
        self.base.split_once("/v2/").map_or(&self.base, |(origin, _)| origin)
    }

    /// Sends a request with what the registry wants to know of us, which it says when it is asked for the first time.
    fn send(&mut self, call: &Call<'_>, doing: &str) -> Result<Answer, RegistryError> {
        // Uploads may go to another host, which has no business with our credentials.
        let is_ours = call.url.starts_with(&format!("{}/", self.origin()));
        let authorised = |value: &Option<String>| match value {
            Some(value) if is_ours => call.request().header(header::AUTHORIZATION, value),
            _ => call.request(),
        };
        let answer = self.http.send(authorised(&self.authorization), call.body, doing)?;
        if answer.status != 401 || !is_ours {
            return Ok(answer);
        }
        let host = &self.reference.host;
        let value = auth::answer(self.http, host, &self.repository, self.access, &answer.headers)?;
        self.authorization = Some(value);
        self.http.send(authorised(&self.authorization), call.body, doing)
    }

    /// The error of an answer that is none of those that are expected.
    fn refusal(&self, answer: &Answer, doing: &str) -> RegistryError {
        let (name, message) = (self.reference.name(), answer.message());
        let host = self.reference.host.clone();
        match answer.status {
            // With a token that a realm gives to anybody, the registry wants credentials still.
            401 => match auth::credential(&host) {
                Err(error) => error,
                Ok(None) => RegistryError::CredentialsMissing { host, realm: None },
                Ok(Some(_)) => RegistryError::CredentialsRefused { host, realm: None },
            },
            403 => RegistryError::Forbidden { name, message },
            404 => RegistryError::NoRepository { name, message },
            _ => answer.unexpected(doing),
        }
    }
}

/// Whether an answer is a manifest or an index.
fn is_manifest(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(body).is_ok_and(|value| value.get("schemaVersion").is_some())
}

fn reason(error: &io::Error) -> String {
    match error.source() {
        Some(inner) => format!("{error}: {inner}"),
        None => error.to_string(),
    }
}
