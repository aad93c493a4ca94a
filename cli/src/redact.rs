//! `outrigger redact`: takes personal data and secrets out of text.

use crate::document;
use anstyle::{AnsiColor, Style};
use filter_kit::{
    Environment,
    settings::{self, Field},
};
use pii::{Engine, Findings, Pii, Place, TokenKey};
use serde::{Deserialize, Serialize};
use std::{
    cell::RefCell,
    env, fs,
    io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

/// Reads text or JSONL on stdin and writes it without the personal data and secrets in it.
///
/// Text comes back redacted, and the spans that were found follow on stderr. With --jsonl each line is {"id","text"} or {"id","key","text"},
/// where the key is the name of the field whose value the text is, and each line of the answer is {"id","redacted","spans":[{"start","end","type"}]}.
/// Tokens need `token.key_env` in the configuration, which names a variable of this process; without it, a token is the type in brackets.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  echo 'card 4111 1111 1111 1111' | outrigger redact
  outrigger redact --jsonl --config access-log.json < texts.jsonl")]
pub struct Args {
    /// A configuration of access-log, of which the section `pii` counts: JSON or YAML.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Read and write a line of JSON for each text.
    #[arg(long)]
    jsonl: bool,
}

/// A line of --jsonl.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    id: serde_json::Value,
    key: Option<String>,
    text: String,
}

/// What is answered to a line.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Redacted { id: serde_json::Value, redacted: String, spans: Vec<Span> },
    Refused { id: Option<()>, error: String },
}

/// A span that was found.
#[derive(Debug, Serialize)]
struct Span {
    start: usize,
    end: usize,
    r#type: &'static str,
}

/// Runs the command.
///
/// # Errors
/// The configuration cannot be read or is refused, or stdin or stdout fails: exit code 2.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    let pii = match &args.config {
        Some(path) => load(path)?,
        None => Pii::default(),
    };
    let today = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() / 86_400);
    let key = pii.tokens.key(u32::try_from(today).unwrap_or(0));
    let done = if args.jsonl { lines(&pii.engine, key.as_ref()) } else { text(&pii.engine, key.as_ref()) };
    match done {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error.to_string()),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

/// The section `pii` of a configuration, or of the plugin configuration that a manifest holds.
fn load(path: &Path) -> Result<Pii, String> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    let documents =
        document::parse(&text).map_err(|error| format!("{name}:{}: {}", error.line, error.message))?;
    let document = documents.first().ok_or_else(|| format!("{name}: must hold a configuration"))?;
    let places: [&[&str]; 4] = [
        &["pii"],
        &["pluginConfig", "pii"],
        &["spec", "pluginConfig", "pii"],
        &["spec", "wasm", "pluginConfig", "pii"],
    ];
    let Some((node, place)) = places.iter().find_map(|place| Some((document.at(place)?, place.join("."))))
    else {
        return Err(format!("{name}: must have a section `pii`, as a configuration of access-log has"));
    };
    let config = node.to_json().to_string();
    let refused = RefCell::default();
    let variable = |name: &str| env::var(name).ok();
    let read = || {
        let config = settings::Node::parse(config.as_bytes())?;
        let root = Field::root(&config, &refused);
        root.finish(Pii::read(&root, &Environment::new(&variable)))
    };
    read().map_err(|error| {
        let line = node.line_of(error.path());
        format!("{name}:{line}: {}", error.inside(&place))
    })
}

/// Answers each line in turn.
fn lines(engine: &Engine, key: Option<&TokenKey>) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut input = io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return out.flush();
        }
        let answer = match serde_json::from_slice::<Line>(&line) {
            Ok(line) => answer(engine, key, line),
            Err(error) => Answer::Refused { id: None, error: error.to_string() },
        };
        serde_json::to_writer(&mut out, &answer)?;
        out.write_all(b"\n")?;
        // A program that waits for the answer before it writes more must get it.
        if input.fill_buf().is_ok_and(<[u8]>::is_empty) {
            return out.flush();
        }
    }
}

fn answer(engine: &Engine, key: Option<&TokenKey>, line: Line) -> Answer {
    let place = line.key.as_ref().map_or(Place::Text, |key| Place::Field(key.as_bytes()));
    let found = engine.find(line.text.as_bytes(), place);
    let spans = found.spans().iter();
    Answer::Redacted {
        id: line.id,
        spans: spans
            .map(|span| Span { start: span.start, end: span.end, r#type: span.entity.id() })
            .collect(),
        redacted: engine.write(line.text.as_bytes(), &found, key).into_string(),
    }
}

/// Redacts all of stdin; on a terminal, what stands for a value is coloured.
fn text(engine: &Engine, key: Option<&TokenKey>) -> io::Result<()> {
    let mut text = Vec::new();
    io::stdin().lock().read_to_end(&mut text)?;
    let found = engine.find(&text, Place::Text);
    let is_terminal = io::stdout().is_terminal();
    let mut out = anstream::stdout().lock();
    out.write_all(coloured(engine, key, &text, &found, is_terminal).as_bytes())?;
    out.flush()?;
    let mut log = anstream::stderr().lock();
    let (mut line, mut place) = (1, 0);
    for span in found.spans() {
        let between = text.get(place..span.start).unwrap_or_default();
        line += between.split(|byte| *byte == b'\n').count() - 1;
        place = span.start;
        writeln!(
            log,
            "line {line}, bytes {}..{}: {} ({} %)",
            span.start, span.end, span.entity, span.confidence
        )?;
    }
    writeln!(
        log,
        "{} found, {} of them dropped because they could not be decoded",
        found.spans().len(),
        found.dropped()
    )
}

fn coloured(
    engine: &Engine,
    key: Option<&TokenKey>,
    text: &[u8],
    found: &Findings,
    is_terminal: bool,
) -> String {
    if !is_terminal {
        return engine.write(text, found, key).into_string();
    }
    let style = Style::new().bold().fg_color(Some(AnsiColor::Yellow.into()));
    engine.write_marked(text, found, key, &format!("{style}"), &format!("{style:#}")).into_string()
}
