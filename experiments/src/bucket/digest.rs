//! The digests of LaunchDarkly (SHA-1) and Eppo (MD5). Neither keeps a secret here: they spread keys.

use digest::Digest;

/// SHA-1 with the text before the key in it.
pub(super) type Sha1 = Prefixed<sha1::Sha1>;

/// MD5 with the text before the key in it.
pub(super) type Md5 = Prefixed<md5::Md5>;

#[derive(Clone)]
pub(super) struct Prefixed<D>(D);

impl<D: Digest + Clone> Prefixed<D> {
    pub(super) fn after(text: &[u8]) -> Self {
        Self(D::new_with_prefix(text))
    }

    /// The first bytes of the digest.
    pub(super) fn head<const N: usize>(&self, key: &[u8]) -> [u8; N] {
        let digest = self.0.clone().chain_update(key).finalize();
        digest.first_chunk().copied().unwrap_or([0; N])
    }
}

impl<D> std::fmt::Debug for Prefixed<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prefixed")
    }
}
