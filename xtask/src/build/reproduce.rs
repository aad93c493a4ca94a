//! Whether modules come out the same wherever they are built: two clean builds of the same sources, in folders with names of other lengths, with cargo's
//! own folder at another place too.

use super::{Site, digest, module, one};
use crate::{parallel, progress, project};
use anyhow::{Result, ensure};
use comfy_table::Table;
use std::{fs, os::unix::fs::symlink, path::Path};

/// What is no source: what was built, and history.
const NOT_SOURCES: [&str; 3] = ["target", "dist", ".git"];

/// Builds the filters twice, and compares what comes out with one another and with dist/.
///
/// # Errors
/// A module does not build. Those that differ are printed, and counted.
pub fn check(filters: &[String]) -> Result<usize> {
    let scratch = project::scratch("reproduce")?;
    fs::remove_dir_all(&scratch)?;
    let copies = ["a", "a-folder-with-a-longer-name/of-another-machine"]
        .map(|name| copy(&scratch.join(name)))
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    let work = progress::begin_counted("two clean builds", (copies.len() * filters.len()) as u64);
    let built = parallel::map(&copies, copies.len(), |site| {
        let module = |filter: &String| {
            let built = fs::read(one(site, filter)?)?;
            work.step();
            anyhow::Ok(built)
        };
        filters.iter().map(module).collect::<Result<Vec<_>>>()
    });
    drop(work);
    let built = built.into_iter().collect::<Result<Vec<_>>>()?;
    let mut table = Table::new();
    table.set_header(["module", "sha256", ""]);
    let mut differ = 0;
    for (place, filter) in filters.iter().enumerate() {
        let own = fs::read(module(filter))?;
        let others: Vec<&Vec<u8>> = built.iter().filter_map(|modules| modules.get(place)).collect();
        ensure!(others.len() == copies.len(), "{filter} was not built");
        let first = others.iter().find_map(|other| difference(&own, other));
        differ += usize::from(first.is_some());
        let said = match first {
            None => "the same in three folders".to_owned(),
            Some(at) => format!("differs from byte {at} on"),
        };
        table.add_row([format!("{filter}.wasm"), digest(&own), said]);
    }
    println!("{table}");
    if differ == 0 {
        fs::remove_dir_all(&scratch)?;
    } else {
        println!("{differ} modules differ; what was built is in {}", scratch.display());
    }
    Ok(differ)
}

/// The first byte in which they differ.
fn difference(one: &[u8], other: &[u8]) -> Option<usize> {
    let first = one.iter().zip(other).position(|(one, other)| one != other);
    first.or_else(|| (one.len() != other.len()).then(|| one.len().min(other.len())))
}

/// The sources in another folder, and beside them another name for cargo's folder.
fn copy(folder: &Path) -> Result<Site> {
    let root = folder.join("sources");
    project::copy_folder(project::root(), &root, &NOT_SOURCES)?;
    let home = folder.join("cargo");
    fs::create_dir_all(&home)?;
    for entry in fs::read_dir(super::cargo_home()?)? {
        let entry = entry?;
        symlink(entry.path(), home.join(entry.file_name()))?;
    }
    Ok(Site { target: root.join("target"), root, cargo_home: home })
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn the_first_byte_that_differs_is_found() {
        assert_eq!(difference(b"abc", b"abc"), None);
        assert_eq!(difference(b"abc", b"abd"), Some(2));
        assert_eq!(difference(b"abc", b"ab"), Some(2));
        assert_eq!(difference(b"", b"a"), Some(0));
    }
}
