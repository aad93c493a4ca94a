//! Who we are to a registry: credentials of Docker's configuration, and the challenges that they answer.

use super::{error::RegistryError, registry::Http};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use docker_credential::{CredentialRetrievalError as Missing, DockerCredential};
use http_auth::{ChallengeRef, parse_challenges};
use serde::Deserialize;
use std::{env, fs::File, io, path::PathBuf};
use ureq::http::{HeaderMap, Request, header};

/// The name by which Docker's configuration knows Docker Hub.
const HUB: &str = "https://index.docker.io/v1/";

/// What the holder of a token may do, in the words of the token's scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read.
    Pull,
    /// Read and write.
    Push,
}

/// An answer of a realm (Docker Registry v2 authentication).
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// The credentials for a registry in `$DOCKER_CONFIG/config.json`, or else in `~/.docker/config.json`; none if there are none.
///
/// # Errors
/// The configuration cannot be read, or a helper that it names fails.
pub fn credential(host: &str) -> Result<Option<DockerCredential>, RegistryError> {
    let folder = env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".docker")));
    let Some(path) = folder.map(|folder| folder.join("config.json")) else { return Ok(None) };
    let failed = |problem: String| RegistryError::Credentials { host: host.to_owned(), problem };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(format!("{}: {error}", path.display()))),
    };
    let server = if host == "docker.io" { HUB } else { host };
    let found = docker_credential::get_credential_from_reader(io::BufReader::new(file), server);
    let path = path.display();
    match found {
        Ok(credential) => Ok(Some(credential)),
        Err(Missing::NoCredentialConfigured) => Ok(None),
        // Helpers say it so when they have nothing (docker-credential-helpers, credentials.errCredentialsNotFound).
        Err(Missing::HelperFailure { stdout, stderr, .. })
            if format!("{stdout}{stderr}").contains("credentials not found") =>
        {
            Ok(None)
        }
        Err(Missing::HelperFailure { helper, stdout, stderr }) => {
            Err(failed(format!("{helper} failed: {}", format!("{stdout} {stderr}").trim())))
        }
        Err(Missing::HelperCommunicationError) => {
            Err(failed(format!("the docker-credential program that {path} names cannot be run")))
        }
        Err(Missing::ConfigReadError) => Err(failed(format!("{path} is not JSON as Docker writes it"))),
        Err(other) => Err(failed(format!("{path}: {}", other.to_string().to_lowercase()))),
    }
}

/// Answers a registry's 401: the value of the header `authorization` for the next try.
///
/// # Errors
/// There are no credentials, or the realm refuses them, or the challenge is none that can be answered.
pub fn answer(
    http: &Http,
    host: &str,
    repository: &str,
    access: Access,
    challenges: &HeaderMap,
) -> Result<String, RegistryError> {
    let garbage =
        |problem: &str| RegistryError::Challenge { host: host.to_owned(), problem: problem.to_owned() };
    let headers: Vec<&str> =
        challenges.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()).collect();
    let challenges: Vec<ChallengeRef<'_>> =
        headers.iter().filter_map(|text| parse_challenges(text).ok()).flatten().collect();
    let named =
        |scheme: &str| challenges.iter().find(|challenge| challenge.scheme.eq_ignore_ascii_case(scheme));
    let credential = credential(host)?;
    if let Some(bearer) = named("bearer") {
        let parameter = |name: &str| {
            let found = bearer.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_unescaped())
        };
        let realm = parameter("realm").ok_or_else(|| garbage("its challenge names no realm"))?;
        let is_allowed = realm.starts_with("https://") || (http.is_plain() && realm.starts_with("http://"));
        if !is_allowed {
            return Err(garbage(&format!("its realm {realm} is not https, and no password goes there")));
        }
        let actions = if access == Access::Push { "pull,push" } else { "pull" };
        let scope = format!("repository:{repository}:{actions}");
        let token = token(http, host, &realm, parameter("service").as_deref(), &scope, credential.as_ref())?;
        return Ok(format!("Bearer {token}"));
    }
    let Some(basic) = named("basic") else {
        return Err(garbage("asks for an authentication that is neither Basic nor Bearer"));
    };
    let realm = basic.params.iter().find(|(key, _)| key.eq_ignore_ascii_case("realm"));
    let realm = realm.map(|(_, value)| value.to_unescaped());
    match credential {
        Some(DockerCredential::UsernamePassword(user, password)) => Ok(basic_value(&user, &password)),
        Some(DockerCredential::IdentityToken(_)) => {
            Err(garbage("takes a user and a password, and Docker's configuration has an identity token"))
        }
        None => Err(RegistryError::CredentialsMissing { host: host.to_owned(), realm }),
    }
}

fn basic_value(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Fetches a token from a realm: by GET with Basic, or anonymously, or by POST with an identity token (OAuth 2).
fn token(
    http: &Http,
    host: &str,
    realm: &str,
    service: Option<&str>,
    scope: &str,
    credential: Option<&DockerCredential>,
) -> Result<String, RegistryError> {
    let mut query = vec![("scope", scope)];
    query.extend(service.map(|service| ("service", service)));
    let mut request = Request::builder();
    let mut body = Vec::new();
    if let Some(DockerCredential::IdentityToken(token)) = credential {
        query.extend([("grant_type", "refresh_token"), ("client_id", "outrigger"), ("refresh_token", token)]);
        body = form(&query).into_bytes();
        request = request
            .method("POST")
            .uri(realm)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    } else {
        let separator = if realm.contains('?') { '&' } else { '?' };
        request = request.uri(format!("{realm}{separator}{}", form(&query)));
        if let Some(DockerCredential::UsernamePassword(user, password)) = credential {
            request = request.header(header::AUTHORIZATION, basic_value(user, password));
        }
    }
    let doing = format!("a token of {realm}");
    let answer = http.send(request, &body, &doing)?;
    let (host, named) = (host.to_owned(), Some(realm.to_owned()));
    match answer.status {
        200 => {}
        400 | 401 | 403 if credential.is_some() => {
            return Err(RegistryError::CredentialsRefused { host, realm: named });
        }
        401 | 403 => return Err(RegistryError::CredentialsMissing { host, realm: named }),
        _ => return Err(answer.unexpected(&doing)),
    }
    let token: Option<Token> = serde_json::from_slice(&answer.body).ok();
    token
        .and_then(|token| token.token.or(token.access_token))
        .filter(|token| !token.is_empty())
        .ok_or_else(|| RegistryError::Garbage { doing, problem: "the answer has no token".to_owned() })
}

/// `application/x-www-form-urlencoded`, with all but letters, digits and a few signs in percent.
fn form(pairs: &[(&str, &str)]) -> String {
    let encode = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    pairs.join("&")
}
