//! Callers' certificates, made for one run.

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Who a certificate is for. A certificate of a mesh has one URI; others have none.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// The URI among the certificate's names.
    pub uri: Option<&'static str>,
    /// The DNS name among them.
    pub dns: Option<&'static str>,
    /// The subject's common name.
    pub subject: &'static str,
}

const fn of(uri: &'static str) -> Identity {
    Identity { uri: Some(uri), dns: None, subject: "" }
}

/// The callers with a certificate.
pub const IDENTITIES: [Identity; 15] = [
    of("spiffe://cluster.local/ns/shop/sa/web"),
    of("spiffe://cluster.local/ns/foo/sa/api"),
    of("spiffe://td1/ns/shop/sa/web"),
    of("spiffe://other.example/ns/shop/sa/web-2"),
    of("spiffe://cluster.local/ns/shop/extra/sa/web/more"),
    of("spiffe://old-td/ns/a.b/sa/x.y"),
    of("spiffe://cluster.local/ns/axb/sa/xzy"),
    of("https://cluster.local/ns/shop/sa/web"),
    of("spiffe://cluster.local/ns/shop/sa/WEB"),
    of("spiffe://cluster.local/ns/istio-system/sa/gateway"),
    of("spiffe://cluster.local/ns/shop/sa/web-canary"),
    of("spiffe://cluster.local.example/ns/shop/sa/web"),
    of("spiffe://cluster.local/ns/shop2/sa/web"),
    Identity { uri: None, dns: Some("web.shop.example"), subject: "web" },
    Identity { uri: None, dns: None, subject: "cluster.local/ns/shop/sa/web" },
];

/// The names that a caller may ask for in the handshake.
pub const SNIS: [&str; 5] = ["shop.example", "other.example", "api.shop.example", "shop.test", "localhost"];

/// What TLS takes on both ends.
pub struct Credentials {
    server: Value,
    /// The authority's certificate, for Envoys that call.
    authority: Value,
    /// Certificates and keys of [`IDENTITIES`], for Envoys that call.
    certificates: Vec<Value>,
    /// By the place among [`IDENTITIES`]; the last is without a certificate. Each with a server's name and without.
    clients: Vec<[Arc<ClientConfig>; 2]>,
}

impl Credentials {
    /// Makes an authority, and certificates of all identities and of the server.
    ///
    /// # Errors
    /// A certificate cannot be made.
    pub fn make() -> Result<Self> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Another name than that of the certificates, which would be taken for signed by themselves.
        authority.distinguished_name.push(DnType::CommonName, "authority");
        let key = KeyPair::generate()?;
        let root = authority.self_signed(&key)?;
        let issuer = Issuer::new(authority, key);
        let server_key = KeyPair::generate()?;
        let names: Vec<String> = SNIS.iter().map(|name| (*name).to_owned()).collect();
        let server = CertificateParams::new(names)?.signed_by(&server_key, &issuer)?;
        let inline = |text: String| json!({"inline_string": text});
        let pair = |certificate: &Certificate, key: &KeyPair| json!({"certificate_chain": inline(certificate.pem()), "private_key": inline(key.serialize_pem())});
        let authority = inline(root.pem());
        let server = json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "tls_certificates": [pair(&server, &server_key)],
                "validation_context": {"trusted_ca": authority}
            }
        });
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = || -> Result<_> {
            let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
            Ok(builder.with_safe_default_protocol_versions()?.with_root_certificates(roots.clone()))
        };
        let (mut clients, mut certificates) = (Vec::new(), Vec::new());
        for identity in &IDENTITIES {
            let (certificate, key) = certificate_of(identity, &issuer)
                .with_context(|| format!("no certificate for {:?}", identity.uri))?;
            certificates.push(pair(&certificate, &key));
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
            clients.push(both(builder()?.with_client_auth_cert(vec![certificate.der().clone()], key)?));
        }
        clients.push(both(builder()?.with_no_client_auth()));
        Ok(Self { server, authority, certificates, clients })
    }

    /// The transport socket of a cluster, for an Envoy that calls with the certificate of this place.
    pub fn upstream(&self, place: usize) -> Option<Value> {
        let certificate = self.certificates.get(place)?;
        Some(json!({"name": "envoy.transport_sockets.tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": SNIS[0],
            "common_tls_context": {
                "tls_certificates": [certificate],
                "validation_context": {"trusted_ca": self.authority}
            }
        }}))
    }

    /// The context of a listener.
    pub fn server(&self) -> &Value {
        &self.server
    }

    /// What a caller of this place needs; the one after the last has no certificate.
    pub fn client(&self, place: usize, with_name: bool) -> Option<Arc<ClientConfig>> {
        self.clients.get(place).map(|[with, without]| Arc::clone(if with_name { with } else { without }))
    }
}

fn both(config: ClientConfig) -> [Arc<ClientConfig>; 2] {
    let mut without = config.clone();
    without.enable_sni = false;
    [Arc::new(config), Arc::new(without)]
}

fn certificate_of(identity: &Identity, issuer: &Issuer<'_, KeyPair>) -> Result<(Certificate, KeyPair)> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    if !identity.subject.is_empty() {
        params.distinguished_name.push(DnType::CommonName, identity.subject);
    }
    if let Some(uri) = identity.uri {
        params.subject_alt_names.push(SanType::URI(uri.try_into()?));
    }
    if let Some(dns) = identity.dns {
        params.subject_alt_names.push(SanType::DnsName(dns.try_into()?));
    }
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, issuer)?, key))
}
