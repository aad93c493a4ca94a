//! Traces beside a test: what a module and its host said to each other, as a file that is reviewed with the code.

use std::{
    env,
    fmt::{self, Write as _},
    fs, io,
    path::{Path, PathBuf},
};

/// The variable of the environment that has snapshots written instead of compared, if it is set to anything but nothing and 0.
pub const UPDATE: &str = "OUTRIGGER_UPDATE";

/// The lines that are shown around a difference.
const CONTEXT: usize = 2;

/// The most lines of a part that is compared line by line; a longer one is shown whole.
const COMPARED: usize = 1500;

/// Why a trace is not its snapshot.
#[derive(Debug)]
#[non_exhaustive]
pub enum SnapshotError {
    /// There is none yet.
    Missing(PathBuf),
    /// It cannot be read or written.
    Io(PathBuf, io::Error),
    /// It says something else.
    Differs {
        /// The file.
        file: PathBuf,
        /// The lines that differ, `-` those of the snapshot and `+` those of now.
        diff: String,
    },
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(file) => {
                write!(f, "{}: there is no such snapshot; {UPDATE}=1 or --update writes it", file.display())
            }
            Self::Io(file, error) => write!(f, "{}: {error}", file.display()),
            Self::Differs { file, diff } => {
                write!(
                    f,
                    "{}: the trace is another one; {UPDATE}=1 or --update takes it\n{diff}",
                    file.display()
                )
            }
        }
    }
}

impl std::error::Error for SnapshotError {}

/// Whether [`UPDATE`] says that snapshots are to be written.
pub fn is_updating() -> bool {
    env::var_os(UPDATE).is_some_and(|value| !value.is_empty() && value != "0")
}

/// Compares a trace with its snapshot, or writes it, if it is to be updated.
///
/// # Errors
/// There is no snapshot, or it cannot be read or written, or it differs.
pub fn check(file: &Path, trace: &str, is_updated: bool) -> Result<(), SnapshotError> {
    let failed = |error: io::Error| SnapshotError::Io(file.to_path_buf(), error);
    let kept = match fs::read_to_string(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        kept => kept.ok().map(|kept| kept.replace("\r\n", "\n")),
    };
    if kept.as_deref() == Some(trace) {
        return Ok(());
    }
    if is_updated {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
        return fs::write(file, trace).map_err(failed);
    }
    match kept {
        None => Err(SnapshotError::Missing(file.to_path_buf())),
        Some(kept) => {
            Err(SnapshotError::Differs { file: file.to_path_buf(), diff: difference(&kept, trace) })
        }
    }
}

/// The lines of two texts: those that only one has with `-` or `+`, and a few around them.
pub fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| {
        pairs.take_while(|(one, other)| one == other).count()
    };
    let head = same(&mut old.iter().zip(&new));
    let rest = old.len().min(new.len()) - head;
    let tail = same(&mut old.iter().rev().zip(new.iter().rev()).take(rest));
    let middle = |lines: &[&str]| {
        lines.iter().take(lines.len() - tail).skip(head).map(|line| (*line).to_owned()).collect::<Vec<_>>()
    };
    let mut lines: Vec<(char, String)> =
        old.iter().take(head).map(|line| (' ', (*line).to_owned())).collect();
    lines.extend(edits(&middle(&old), &middle(&new)));
    lines.extend(old.iter().skip(old.len() - tail).map(|line| (' ', (*line).to_owned())));
    shown(&lines)
}

/// The lines of both, in the order of the longest common sequence.
fn edits(old: &[String], new: &[String]) -> Vec<(char, String)> {
    let all =
        |sign: char, lines: &[String]| lines.iter().map(|line| (sign, line.clone())).collect::<Vec<_>>();
    if old.len().max(new.len()) > COMPARED {
        return [all('-', old), all('+', new)].concat();
    }
    // How long the common sequence of what is behind two places is.
    let width = new.len() + 1;
    let mut common = vec![0_u32; (old.len() + 1) * width];
    let at =
        |common: &[u32], row: usize, column: usize| common.get(row * width + column).copied().unwrap_or(0);
    for (row, one) in old.iter().enumerate().rev() {
        for (column, other) in new.iter().enumerate().rev() {
            let length = if one == other {
                at(&common, row + 1, column + 1) + 1
            } else {
                at(&common, row + 1, column).max(at(&common, row, column + 1))
            };
            if let Some(place) = common.get_mut(row * width + column) {
                *place = length;
            }
        }
    }
    let (mut lines, mut row, mut column) = (Vec::new(), 0, 0);
    loop {
        match (old.get(row), new.get(column)) {
            (None, None) => return lines,
            (Some(one), Some(other)) if one == other => {
                lines.push((' ', one.clone()));
                (row, column) = (row + 1, column + 1);
            }
            (Some(one), other)
                if other.is_none() || at(&common, row + 1, column) >= at(&common, row, column + 1) =>
            {
                lines.push(('-', one.clone()));
                row += 1;
            }
            (_, other) => {
                lines.extend(other.map(|other| ('+', other.clone())));
                column += 1;
            }
        }
    }
}

/// The lines that are near a difference, and dots for the others.
fn shown(lines: &[(char, String)]) -> String {
    let is_near = |place: usize| {
        let near = lines.iter().take(place + CONTEXT + 1).skip(place.saturating_sub(CONTEXT));
        near.clone().any(|(sign, _)| *sign != ' ')
    };
    let (mut text, mut has_gap) = (String::new(), false);
    for (place, (sign, line)) in lines.iter().enumerate() {
        if is_near(place) {
            let _ = writeln!(text, "{sign} {line}");
        } else if !has_gap {
            text.push_str("  ...\n");
        }
        has_gap = !is_near(place);
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::{SnapshotError, check, difference};
    use std::{env, fs, process};

    #[test]
    fn a_difference_shows_what_was_taken_and_given_with_a_few_lines_around() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh";
        assert_eq!(difference(old, "a\nb\nc\nd\nE\nf\ng\nh"), "  ...\n  c\n  d\n- e\n+ E\n  f\n  g\n  ...");
        assert_eq!(difference("a\nb", "a\nx\nb"), "  a\n+ x\n  b");
        assert_eq!(difference("a\nx\nb\ny", "a\nb"), "  a\n- x\n  b\n- y");
        assert_eq!(difference("", "a"), "+ a");
        // What moves is taken once and given once.
        assert_eq!(
            difference("1\n2\n3\n4", "2\n3\n4\n1"),
            "- 1\n  2\n  3\n  ...\n  4\n+ 1".replace("  ...\n", "")
        );
        let long = (0..4000).map(|number: u32| number.to_string()).collect::<Vec<_>>().join("\n");
        assert_eq!(
            difference(&long, &long.replace("\n2000\n", "\ntwo\n")),
            "  ...\n  1998\n  1999\n- 2000\n+ two\n  2001\n  2002\n  ..."
        );
    }

    #[test]
    fn a_snapshot_is_written_only_when_that_is_asked_for() {
        let file = env::temp_dir().join(format!("outrigger-snapshot-{}", process::id())).join("x.trace");
        assert!(matches!(check(&file, "a\n", false), Err(SnapshotError::Missing(_))));
        check(&file, "a\n", true).unwrap();
        check(&file, "a\n", false).unwrap();
        let error = check(&file, "b\n", false).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "x.trace: the trace is another one; OUTRIGGER_UPDATE=1 or --update takes it\n- a\n+ b"
            ),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), "a\n");
        fs::remove_dir_all(file.parent().unwrap()).unwrap();
    }
}
