//! Log files as they grow: rotated, truncated, gone and back again, and never more in memory than is shown.

use crate::line::Line;
use serde::Serialize;
use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// The most bytes that are read of a file at a time; what is more is skipped, and said.
const AT_ONCE: u64 = 16 << 20;
/// How much of a file's end is read when it is opened first.
const BEGIN: u64 = 256 << 10;
/// The most bytes of a line.
const LINE: usize = 64 << 10;
/// How many lines of each kind are shown.
const SHOWN: usize = 60;

/// A line, with a number that no other has.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    id: u64,
    #[serde(flatten)]
    line: Line,
}

/// What was read of a log.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Counts {
    access: u64,
    verdicts: u64,
    own: u64,
    /// Lines of a format of ours whose request has no record: they end in `-`, as Envoy writes what is not there.
    empty: u64,
    /// Lines that are not ours, or are too long to be.
    others: u64,
    /// Bytes that were left out, because the file grew faster than it is read.
    skipped_bytes: u64,
    /// How often the file was another one, or was cut short.
    rotations: u64,
}

/// A log file.
#[derive(Debug, Serialize)]
pub struct Log {
    path: PathBuf,
    /// Why it cannot be read.
    problem: Option<String>,
    counts: Counts,
    #[serde(skip)]
    open: Option<Open>,
    #[serde(skip)]
    is_known: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    id: [u64; 2],
    position: u64,
    /// The beginning of a line whose end has not come.
    rest: Vec<u8>,
    /// Whether what comes up to the next newline is left out: the line is too long, or its beginning was not read.
    is_skipping: bool,
}

/// All logs, and the lines that were read last.
#[derive(Debug, Default)]
pub struct Logs {
    /// The files.
    pub files: Vec<Log>,
    recent: [VecDeque<Shown>; 3],
    next: u64,
}

impl Logs {
    /// Files, which need not be there yet.
    pub fn new(paths: &[PathBuf]) -> Self {
        let log = |path: &PathBuf| Log {
            path: path.clone(),
            problem: None,
            counts: Counts::default(),
            open: None,
            is_known: false,
        };
        Self { files: paths.iter().map(log).collect(), ..Self::default() }
    }

    /// Reads what has come since the last time.
    pub fn read(&mut self) {
        for log in &mut self.files {
            let Log { path, problem, counts, open, is_known } = log;
            let mut take = |text: &[u8]| {
                let line = std::str::from_utf8(text).ok().and_then(Line::parse);
                let (kind, count) = match line {
                    Some(Line::Access(_)) => (0, &mut counts.access),
                    Some(Line::Verdict { .. }) => (1, &mut counts.verdicts),
                    Some(Line::Own { .. }) => (2, &mut counts.own),
                    None if text.ends_with(b" -") => (3, &mut counts.empty),
                    None => (3, &mut counts.others),
                };
                *count += u64::from(!text.is_empty());
                if let (Some(line), Some(recent)) = (line, self.recent.get_mut(kind)) {
                    recent.push_front(Shown { id: self.next, line });
                    recent.truncate(SHOWN);
                    self.next += 1;
                }
            };
            let (mut skipped, mut rotations) = (0, 0);
            let done = grow(path, open, is_known, &mut take, &mut skipped, &mut rotations);
            *problem = done.err().map(|error| explain(path, &error));
            counts.skipped_bytes += skipped;
            counts.rotations += rotations;
        }
    }

    /// The last records, verdicts and lines of filters, the newest first.
    pub fn recent(&self) -> &[VecDeque<Shown>; 3] {
        &self.recent
    }
}

fn explain(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => format!("{path} is not there; it is read as soon as it is"),
        io::ErrorKind::PermissionDenied => format!("{path} may not be read by this user"),
        _ => format!("{path} cannot be read: {error}"),
    }
}

/// Reads a file on, and the one that has come in its place.
fn grow(
    path: &Path,
    open: &mut Option<Open>,
    is_known: &mut bool,
    take: &mut impl FnMut(&[u8]),
    skipped: &mut u64,
    rotations: &mut u64,
) -> io::Result<()> {
    let metadata = fs::metadata(path);
    if let (Some(old), Ok(metadata)) = (open.as_mut(), &metadata)
        && old.id != [metadata.dev(), metadata.ino()]
    {
        // What the old file still got before it was moved away.
        old.read(take, skipped)?;
        *open = None;
        *rotations += 1;
    }
    let metadata = match metadata {
        Ok(metadata) => metadata,
        Err(error) => {
            if let Some(mut old) = open.take() {
                old.read(take, skipped)?;
                *rotations += 1;
            }
            return Err(error);
        }
    };
    // A pipe or a terminal would never end.
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let current = if let Some(current) = open {
        current
    } else {
        let from = if *is_known { 0 } else { metadata.len().saturating_sub(BEGIN) };
        *is_known = true;
        open.insert(Open {
            file: File::open(path)?,
            id: [metadata.dev(), metadata.ino()],
            position: from,
            rest: Vec::new(),
            is_skipping: from > 0,
        })
    };
    if metadata.len() < current.position {
        (current.position, current.is_skipping) = (0, false);
        current.rest.clear();
        *rotations += 1;
    }
    current.read(take, skipped)
}

impl Open {
    fn read(&mut self, take: &mut impl FnMut(&[u8]), skipped: &mut u64) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        let grown = length.saturating_sub(self.position);
        if grown > AT_ONCE {
            *skipped += grown - AT_ONCE;
            self.position = length - AT_ONCE;
            self.rest.clear();
            self.is_skipping = true;
        }
        self.file.seek(SeekFrom::Start(self.position))?;
        let mut bytes = Vec::new();
        (&self.file).take(AT_ONCE).read_to_end(&mut bytes)?;
        self.position += bytes.len() as u64;
        let mut lines = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = lines.next() {
            let is_whole = lines.peek().is_some();
            if self.is_skipping {
                self.is_skipping = !is_whole;
                continue;
            }
            if self.rest.len() + part.len() > LINE {
                self.rest.clear();
                // Counted as no line of ours.
                take(b"\n");
                self.is_skipping = !is_whole;
                continue;
            }
            if !is_whole {
                self.rest.extend(part);
            } else if self.rest.is_empty() {
                take(part);
            } else {
                self.rest.extend(part);
                take(&std::mem::take(&mut self.rest));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
