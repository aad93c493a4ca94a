//! References to images: `HOST[:PORT]/REPOSITORY[:TAG][@sha256:DIGEST]`.

use crate::check::url::{self, Wrong};
use std::fmt;

/// A reference, valid by construction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The registry, with its port if it has one.
    pub host: String,
    /// The repository in it.
    pub repository: String,
    /// What the image is called there.
    pub tag: Option<String>,
    /// What the image is, `sha256:` and 64 hexadecimal digits.
    pub digest: Option<String>,
}

impl Reference {
    /// Reads a reference, with `oci://` before it or without.
    ///
    /// # Errors
    /// It is none that Istio would take, or does not name its registry.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix("oci://").unwrap_or(text);
        match url::check(&format!("oci://{text}")) {
            Ok(()) => {}
            Err(Wrong::Refused(problem) | Wrong::Misleading(problem)) => return Err(problem),
        }
        let (name, digest) =
            text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest.to_owned())));
        let no_host = || {
            format!(
                "`{text}` does not name its registry: write it before the first `/`, as in `registry.example/{text}`"
            )
        };
        let (host, path) = name.split_once('/').ok_or_else(no_host)?;
        if !host.contains(['.', ':']) && host != "localhost" {
            return Err(no_host());
        }
        let (repository, tag) = path
            .rsplit_once(':')
            .map_or((path, None), |(repository, tag)| (repository, Some(tag.to_owned())));
        Ok(Self { host: host.to_owned(), repository: repository.to_owned(), tag, digest })
    }

    /// The reference without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    /// What nobody can move: the reference by digest alone.
    pub fn pinned(&self, digest: &str) -> String {
        format!("{}@{digest}", self.name())
    }

    /// The same without its digest.
    pub fn without_digest(&self) -> Self {
        Self { digest: None, ..self.clone() }
    }

    /// The same repository with another tag.
    pub fn with_tag(&self, tag: &str) -> Self {
        Self { tag: Some(tag.to_owned()), ..self.clone() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Reference;

    #[track_caller]
    fn check(text: &str, expected: [Option<&str>; 4]) {
        let Reference { host, repository, tag, digest } = Reference::parse(text).unwrap();
        let found = [Some(host), Some(repository), tag, digest];
        assert_eq!(found.each_ref().map(Option::as_deref), expected, "{text}");
    }

    #[test]
    fn a_reference_is_host_repository_tag_and_digest() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        check("registry.example/a/b:1.0", [Some("registry.example"), Some("a/b"), Some("1.0"), None]);
        check("oci://localhost:5000/x", [Some("localhost:5000"), Some("x"), None, None]);
        let both = format!("registry.example/a:1@{digest}");
        check(&both, [Some("registry.example"), Some("a"), Some("1"), Some(&digest)]);
        assert_eq!(Reference::parse(&both).unwrap().to_string(), both);
    }

    #[test]
    fn a_reference_names_its_registry() {
        for bad in
            ["ab-routing:1", "outrigger/ab-routing:1", "registry.example/A:1", "registry.example/a:", ""]
        {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
    }
}
