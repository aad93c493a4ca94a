//! What the docs say of commands and files is so: every command of a block is there, with its options, and every link leads to a file.

pub mod answers;
mod blocks;
pub mod transcripts;

use crate::{build, command, e2e::Count, progress, project};
use anyhow::{Context as _, Result, bail};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Folders whose pages are read, beside those of the filters.
const FOLDERS: [&str; 5] = ["", "docs", "docs/schema", "fuzz", "harness"];

/// Reads all pages.
///
/// # Errors
/// A page cannot be read, or the tool does not build.
pub fn check() -> Result<Count> {
    let mut helps = Helps { tool: build::outrigger()?, known: BTreeMap::new() };
    let mut count = Count::default();
    for page in pages()? {
        let text = fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
        let mut wrong = Vec::new();
        for line in commands(&text) {
            match helps.check(line) {
                Ok(()) => count.passed += 1,
                Err(error) => wrong.push(format!("`{line}`: {error:#}")),
            }
        }
        for link in links(&text) {
            let target = page.parent().unwrap_or(Path::new("")).join(link);
            if target.exists() { count.passed += 1 } else { wrong.push(format!("no file is at {link}")) }
        }
        for error in &wrong {
            progress::failed(&page.display().to_string(), error);
        }
        count.failed += wrong.len();
    }
    Ok(count)
}

fn pages() -> Result<Vec<PathBuf>> {
    let root = project::root();
    let mut folders: Vec<PathBuf> = FOLDERS.map(|folder| root.join(folder)).into();
    folders.extend(project::filters()?.iter().map(|filter| root.join("filters").join(filter)));
    let mut pages = Vec::new();
    for folder in folders {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    Ok(pages)
}

/// The commands of a page's blocks: what stands behind `$ `, each of several that `&&`, `|` and `;` join.
fn commands(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix("$ "));
    lines
        .flat_map(|line| line.split(" # ").next().unwrap_or(line).split(['|', ';']))
        .flat_map(|part| part.split("&&"))
        .map(str::trim)
}

/// What links lead to in the repository, without the part behind `#`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files = targets.map(|target| target.split('#').next().unwrap_or(target));
    files.filter(|target| !target.is_empty() && !target.contains("://") && !target.contains([' ', '`', '<']))
}

/// What commands say of themselves.
struct Helps {
    tool: PathBuf,
    known: BTreeMap<Vec<String>, String>,
}

impl Helps {
    /// A command of the tool or of the project is there, and has the options that it is given.
    fn check(&mut self, line: &str) -> Result<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (program, rest) = match words.as_slice() {
            ["cargo", "xtask", rest @ ..] => ("xtask", rest),
            [first, rest @ ..] if first.rsplit('/').next() == Some("outrigger") => ("outrigger", rest),
            _ => return Ok(()),
        };
        let is_name = |word: &&&str| {
            word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte.is_ascii_digit())
        };
        let names: Vec<&str> = rest.iter().take_while(is_name).take(2).copied().collect();
        // A second word may be a subcommand of the first, or its argument.
        let help = match names.as_slice() {
            [] => self.help(program, &[])?,
            [one] => self.help(program, &[one])?,
            [one, two, ..] => match self.help(program, &[one, two]) {
                Ok(help) => help,
                Err(_) => self.help(program, &[one])?,
            },
        };
        for word in rest.iter().take_while(|word| **word != "--").filter(|word| word.starts_with("--")) {
            let option = word.split('=').next().unwrap_or(word);
            let is_there = help
                .split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-'))
                .any(|other| other == option);
            if !is_there && option != "--help" && option != "--version" {
                bail!("there is no {option}");
            }
        }
        Ok(())
    }

    fn help(&mut self, program: &str, names: &[&str]) -> Result<String> {
        let key: Vec<String> = [&[program], names].concat().into_iter().map(str::to_owned).collect();
        if let Some(help) = self.known.get(&key) {
            return Ok(help.clone());
        }
        let own = std::env::current_exe()?;
        let mut asked = Command::new(if program == "xtask" { &own } else { &self.tool });
        let help = command::run(asked.args(names).arg("--help"))?;
        self.known.insert(key, help.clone());
        Ok(help)
    }
}
