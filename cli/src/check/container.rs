//! Containers: their probes, images and resources.

use super::{
    object::{At, Object},
    report::Report,
    rule::rules,
};
use std::{cmp::Ordering, fs, path::Path};

const PROBES: &str =
    "https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/";
const IMAGES: &str = "https://kubernetes.io/docs/concepts/containers/images/";
const RESOURCES: &str = "https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/";

rules! { "Containers";
    READINESS_PROBE "readiness-probe" Warning
        "without a readiness probe requests reach a pod that cannot answer yet"
        fix "write a `readinessProbe`" PROBES;
    LIVENESS_PROBE "liveness-probe" Warning
        "without a liveness probe a process that hangs stays"
        fix "write a `livenessProbe` that fails only where a restart helps" PROBES;
    IMAGE_TAG_MISSING "image-tag-missing" Warning
        "an image without a tag is `latest`: two pods of one workload may run different code"
        fix "write the version behind the name, or the digest" IMAGES;
    IMAGE_TAG_LATEST "image-tag-latest" Warning
        "`latest` is another image tomorrow: two pods of one workload may run different code"
        fix "write the version, or the digest" IMAGES;
    IMAGE_OLD "image-old" Warning
        "the image is older than the list of --old-images allows"
        fix "update the image"
        "https://owasp.org/www-project-kubernetes-top-ten/";
    RESOURCE_REQUESTS "resource-requests" Warning
        "a pod without requests is placed where there is no room for it, and evicted first"
        fix "write `resources.requests` with `cpu` and `memory`" RESOURCES;
    RESOURCE_LIMITS "resource-limits" Warning
        "a container without limits takes what its neighbours need"
        fix "write `resources.limits` with `memory` (and `cpu`, where a noisy neighbour matters more than throttling)" RESOURCES;
}

/// The oldest tags that are still good, by image.
#[derive(Debug, Default)]
pub struct Oldest(Vec<(String, String)>);

impl Oldest {
    /// Reads a list: `IMAGE:TAG` a line, the oldest tag that is still good; `#` begins a comment.
    ///
    /// # Errors
    /// The file cannot be read, or a line has no tag.
    pub fn read(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        let mut list = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let (image, tag) = split(line);
            let tag = tag.ok_or_else(|| format!("{name}:{}: must be IMAGE:TAG, got `{line}`", index + 1))?;
            list.push((image.to_owned(), tag.to_owned()));
        }
        Ok(Self(list))
    }

    /// The oldest good tag of an image, if this tag is older.
    fn newer_than(&self, image: &str, tag: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| bare(name) == bare(image))?;
        (compare(tag, &found.1) == Ordering::Less).then_some(found.1.as_str())
    }
}

/// The name of an image without what Docker adds to short ones.
fn bare(image: &str) -> &str {
    let image = image.strip_prefix("docker.io/").unwrap_or(image);
    image.strip_prefix("library/").unwrap_or(image)
}

/// The name and the tag of an image, without its digest.
fn split(image: &str) -> (&str, Option<&str>) {
    let image = image.split('@').next().unwrap_or(image);
    let name = image.rfind('/').map_or(0, |slash| slash + 1);
    let colon = image.get(name..).and_then(|last| last.find(':')).map(|colon| name + colon);
    match colon {
        Some(colon) => (image.get(..colon).unwrap_or(image), image.get(colon + 1..)),
        None => (image, None),
    }
}

/// Compares tags by the numbers in them, and what follows only where those are equal.
fn compare(one: &str, other: &str) -> Ordering {
    let numbers = |tag: &str| {
        let version = tag.trim_start_matches('v');
        let version = version.split(['-', '+']).next().unwrap_or_default();
        version.split('.').map(|part| part.parse::<u64>().ok()).collect::<Option<Vec<_>>>()
    };
    match (numbers(one), numbers(other)) {
        (Some(mut one), Some(mut other)) => {
            // 1.2 is 1.2.0.
            let longest = one.len().max(other.len());
            one.resize(longest, 0);
            other.resize(longest, 0);
            one.cmp(&other)
        }
        // A tag that is no version cannot be compared.
        _ => Ordering::Equal,
    }
}

/// The containers of a pod, and whether they run beside each other rather than before the others.
pub fn containers<'n>(pod: &At<'n>) -> Vec<(At<'n>, bool)> {
    let Some(spec) = pod.get("spec") else { return Vec::new() };
    let init = spec.list("initContainers").map(|at| {
        let stays = at.text("restartPolicy") == Some("Always");
        (at, stays)
    });
    spec.list("containers").map(|at| (at, true)).chain(init).collect()
}

/// Checks the containers of a workload.
pub fn check(object: &Object<'_>, oldest: &Oldest, report: &mut Report) {
    let Some(pod) = object.pod() else { return };
    let serves = !matches!(object.kind, "Job" | "CronJob");
    for (container, stays) in containers(&pod) {
        let name = container.text("name").unwrap_or("the container");
        // Istio's injector fills a container of this image in.
        let image = container.text("image").unwrap_or_default();
        if image == "auto" {
            continue;
        }
        if serves && stays {
            for (probe, rule) in [("readinessProbe", &READINESS_PROBE), ("livenessProbe", &LIVENESS_PROBE)] {
                if container.get(probe).is_none() {
                    report.missing(object, rule, &container, probe, format!("`{name}` has none"));
                }
            }
        }
        image_of(object, &container, oldest, report);
        resources(object, &container, name, report);
    }
}

fn image_of(object: &Object<'_>, container: &At<'_>, oldest: &Oldest, report: &mut Report) {
    let Some(place) = container.get("image") else { return };
    let Some(image) = place.str() else { return };
    match split(image) {
        (_, None) if image.contains('@') => {}
        (_, None) => report.add(object, &IMAGE_TAG_MISSING, &place, format!("`{image}` has no tag")),
        (_, Some("latest")) if !image.contains('@') => {
            report.add(object, &IMAGE_TAG_LATEST, &place, format!("`{image}` is whatever is newest"));
        }
        (name, Some(tag)) => {
            if let Some(least) = oldest.newer_than(name, tag) {
                report.add(object, &IMAGE_OLD, &place, format!("`{image}` is older than `{least}`"));
            }
        }
    }
}

fn resources(object: &Object<'_>, container: &At<'_>, name: &str, report: &mut Report) {
    for (part, wanted, rule) in [
        ("requests", ["cpu", "memory"].as_slice(), &RESOURCE_REQUESTS),
        ("limits", &["memory"], &RESOURCE_LIMITS),
    ] {
        let given = container.at(&["resources", part]);
        // What has a limit and no request requests its limit.
        let limits = container.at(&["resources", "limits"]);
        let has = |resource: &str| {
            let of = |at: &Option<At<'_>>| at.as_ref().is_some_and(|at| at.get(resource).is_some());
            of(&given) || of(&limits)
        };
        let lacking: Vec<_> = wanted.iter().filter(|resource| !has(resource)).copied().collect();
        if !lacking.is_empty() {
            let place = given.unwrap_or_else(|| container.clone());
            let field = format!("{}.resources.{part}", container.path);
            let message = format!("`{name}` has none for {}", lacking.join(" and "));
            report.add_to(object, rule, place.node.line, &field, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{compare, split};
    use std::cmp::Ordering;

    #[test]
    fn images_are_split_at_the_colon_of_their_last_part() {
        for (image, expected) in [
            ("nginx", ("nginx", None)),
            ("nginx:1.27", ("nginx", Some("1.27"))),
            ("r.example:5000/a/b", ("r.example:5000/a/b", None)),
            ("r.example:5000/a/b:v1@sha256:00", ("r.example:5000/a/b", Some("v1"))),
        ] {
            assert_eq!(split(image), expected, "{image}");
        }
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (one, other, expected) in [
            ("1.9", "1.10", Ordering::Less),
            ("v2.0.0", "1.99.3", Ordering::Greater),
            ("1.2", "1.2.0-alpine", Ordering::Equal),
            ("stable", "1.2", Ordering::Equal),
        ] {
            assert_eq!(compare(one, other), expected, "{one} {other}");
        }
    }
}
