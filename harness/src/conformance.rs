//! The plan of the conformance suite: sheets of host calls, and the exchanges in which a probe makes them.

mod site;

pub use site::{
    Abi, DEATHS, Group, Listener, POLICIES, Probe, SITES, Site, groups, of_deaths, of_exchanges, of_root,
    routes,
};

use crate::{
    Bytes,
    scenario::{Chunk, Cluster, Cut, Exchange, GrpcAnswers, PAUSE_MS, Request, Response},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt::{Display, Write as _},
    fs, io,
    path::Path,
    time::Duration,
};

/// How an exchange looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A request without a body.
    Get,
    /// A body of a stated length.
    Post,
    /// A body in two chunks.
    Chunked,
    /// A body in two chunks with trailers, answered likewise.
    Trailers,
    /// A gRPC request.
    Grpc,
    /// A request for headers alone.
    Head,
    /// No exchange: the callbacks of the root context.
    Root,
    /// An exchange that kills the VM, and those after it, under each failure policy.
    Trap,
    /// A request whose body is more than Envoy holds back.
    Large,
    /// A request whose response's body is more than Envoy holds back.
    LargeAnswer,
    /// A response that comes later than a route may wait, 200 ms behind the request.
    Late,
    /// A response of which the upstream sends nothing, and closes.
    Cut,
    /// A response that the upstream breaks off behind the first part of its body, which it sends in chunks.
    CutLate,
    /// As that, with a length.
    CutShort,
    /// No exchange: the lines are the text of a module, which a host loads or refuses.
    Module,
}

impl Kind {
    /// Whether it is an exchange through a listener that others go through too.
    pub fn is_exchange(self) -> bool {
        !matches!(self, Self::Root | Self::Trap | Self::Module)
    }
}

/// A sheet: its name, how its exchanges look, and its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// Its name.
    pub name: String,
    /// Where it is run.
    pub site: &'static Site,
    /// The exchanges that it is run in.
    pub kinds: Vec<Kind>,
    /// Its lines, as the probe reads them.
    pub lines: Vec<String>,
}

/// What the probe logged in one exchange, or in one VM's root context, and what came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The sheet.
    pub sheet: String,
    /// How the exchange looked.
    pub kind: Option<Kind>,
    /// The probe's lines.
    pub lines: Vec<String>,
    /// The response's status; none if the client got no whole response.
    pub status: Option<u16>,
    /// The response's headers.
    pub response_headers: Vec<(Bytes, Bytes)>,
    /// The response's body.
    pub response_body: Bytes,
    /// The upstream that got the request.
    #[serde(default)]
    pub upstream: Option<String>,
    /// The headers that the upstream got; none if it got no request.
    pub request_headers: Vec<(Bytes, Bytes)>,
    /// The body that it got.
    pub request_body: Bytes,
}

/// What stands for all lines of an exchange in which Envoy itself ends.
pub const CRASH: &str = "Envoy ends";

impl Run {
    /// A run in which nothing has come yet.
    pub fn of(sheet: &str, kind: Kind) -> Self {
        Self { sheet: sheet.to_owned(), kind: Some(kind), ..Self::default() }
    }
}

/// The stats of a root context's sheet, whose names begin with the sheet's, as lines.
pub fn stats<V: Display>(sheet: &str, stats: &BTreeMap<String, V>) -> Vec<String> {
    let own = stats.iter().filter(|(name, _)| name.starts_with(sheet));
    own.map(|(name, value)| format!("stat {name} {value}")).collect()
}

/// Of a run's lines those that tell of streams: what a VM does while it starts is left out, and so are the answers of calls.
pub fn of_streams(lines: Vec<String>) -> impl Iterator<Item = String> {
    let is_of_stream = |line: &String| {
        let call = line.split_once("| ").map_or(line.as_str(), |(_, call)| call);
        let name = call.strip_prefix("call ").and_then(|call| call.split('[').next());
        name.is_some_and(|name| !["context_create", "vm_start", "configure"].contains(&name))
    };
    lines.into_iter().filter(is_of_stream)
}

/// Reads all sheets of a folder, in the order of the files' names.
///
/// # Errors
/// A file cannot be read, or a sheet names a kind that there is not.
pub fn load(folder: &Path) -> io::Result<Vec<Sheet>> {
    let mut files: Vec<_> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sheets"));
    files.sort();
    let mut sheets = Vec::new();
    for file in files {
        sheets.extend(parse(&fs::read_to_string(file)?)?);
    }
    Ok(sheets)
}

fn parse(text: &str) -> io::Result<Vec<Sheet>> {
    let mut sheets: Vec<Sheet> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(head) = line.strip_prefix("= ") {
            let (name, kinds) = head.split_once(':').unwrap_or((head, "get"));
            let (name, site) = name.split_once('@').unwrap_or((name, "main"));
            let known = site::by_name(site.trim());
            let site = known.ok_or_else(|| io::Error::other(format!("{site} is no site")))?;
            let kinds = kinds.split_whitespace().map(kind).collect::<io::Result<_>>()?;
            sheets.push(Sheet { name: name.trim().to_owned(), site, kinds, lines: Vec::new() });
        } else if let Some(sheet) = sheets.last_mut() {
            sheet.lines.push(line.to_owned());
        }
    }
    Ok(sheets)
}

fn kind(word: &str) -> io::Result<Kind> {
    serde_json::from_value(word.into())
        .map_err(|_| io::Error::other(format!("{word} is no kind of exchange")))
}

/// The VM configuration for a probe that knows all sheets, and runs one in the root context if it is named.
pub fn vm_configuration(sheets: &[Sheet], root: Option<&str>) -> String {
    let mut text = root.map(|root| format!("root {root}\n")).unwrap_or_default();
    for sheet in sheets.iter().filter(|sheet| !sheet.kinds.contains(&Kind::Module)) {
        let _ = write!(text, "= {}\n{}\n", sheet.name, sheet.lines.join("\n"));
    }
    text
}

/// Sheets as text, as [`load`] reads them.
pub fn plan(sheets: &[Sheet]) -> String {
    let word = |kind: &Kind| serde_json::to_value(kind).ok().and_then(|kind| Some(kind.as_str()?.to_owned()));
    let text = |sheet: &Sheet| {
        let kinds: Vec<String> = sheet.kinds.iter().filter_map(word).collect();
        let (name, site) = (&sheet.name, sheet.site.name);
        format!("= {name} @{site}: {}\n{}\n", kinds.join(" "), sheet.lines.join("\n"))
    };
    sheets.iter().map(text).collect()
}

/// A body that is more than Envoy holds back: one byte more than a MiB and a half.
const LARGE: usize = (3 << 19) + 1;

/// How long the client waits for an answer.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// The clusters that callouts go to.
pub fn clusters() -> BTreeMap<String, Cluster> {
    let header = |name: &str, value: &str| (Bytes::from(name), Bytes::from(value));
    let answer = |delay_ms| Cluster::Answers {
        response: Response {
            headers: vec![header("x-up", "1"), header("x-kind", "callout")],
            ..Response::of("callout answer")
        },
        delay_ms,
    };
    let clusters = [
        ("up", answer(0)),
        ("later", answer(100)),
        ("slow", answer(600)),
        ("dead", Cluster::Refuses),
        ("empty", Cluster::Empty),
    ];
    clusters.map(|(name, cluster)| (name.to_owned(), cluster)).into_iter().chain(grpc_clusters()).collect()
}

/// Those that speak gRPC.
fn grpc_clusters() -> impl Iterator<Item = (String, Cluster)> {
    let header = |name: &str, value: &[u8]| (Bytes::from(name), Bytes::from(value));
    let of = |messages: &[&[u8]], status, message: &str| GrpcAnswers {
        initial: vec![header("x-init", b"1"), header("x-init", b"2")],
        messages: messages.iter().map(|message| Bytes::from(*message)).collect(),
        trailers: vec![header("x-trail", b"end")],
        status,
        message: message.to_owned(),
        delay_ms: 0,
    };
    let three: [&[u8]; 3] = [b"first", b"second\0\xff", b"third"];
    let clusters = [
        ("grpc-one", of(&[b"hello"], 0, "")),
        ("grpc-three", of(&three, 0, "")),
        ("grpc-none", of(&[], 0, "")),
        ("grpc-blank", of(&[b""], 0, "all is well")),
        ("grpc-fail", of(&[], 5, "no such thing")),
        ("grpc-half", of(&[b"half"], 9, "only half")),
        ("grpc-soon", GrpcAnswers { delay_ms: 60, ..of(&three, 0, "") }),
        ("grpc-slow", GrpcAnswers { delay_ms: 600, ..of(&three, 0, "") }),
        (
            "grpc-odd",
            GrpcAnswers {
                initial: vec![header("x-init-bin", b"/wA="), header("x-init", b"\xff")],
                trailers: vec![
                    header("x-trail-bin", b"/wA"),
                    header("x-trail", b"\xfe"),
                    header("x-trail", b""),
                ],
                ..of(&[b"\0"], 13, "50% caf\u{e9}\n")
            },
        ),
    ];
    clusters.into_iter().map(|(name, answers)| (name.to_owned(), Cluster::Grpc(answers)))
}

/// The exchange of a sheet.
pub fn exchange(sheet: &str, kind: Kind) -> Exchange {
    let header = |name: &str, value: &str| (Bytes::from(name), Bytes::from(value));
    let mut request = Request { path: "/shop/item?id=7&q=a%20b".to_owned(), ..Request::default() };
    request.headers = vec![
        header("x-probe", sheet),
        header("cookie", "visitor=5f1c; theme=dark"),
        header("x-multi", "1"),
        header("X-Multi", "2"),
        header("x-empty", ""),
        (Bytes::from("x-bytes"), Bytes::from(b"\xff\xfe")),
        header("user-agent", "probe/1"),
        header("referer", "http://shop.example/"),
        header("x-request-id", "7f1c0b7d-0000-4000-8000-000000000001"),
    ];
    let mut response = Response {
        headers: vec![header("content-type", "text/html"), header("x-up", "1"), header("x-up", "2")],
        ..Response::of("hello from upstream")
    };
    match kind {
        Kind::Get | Kind::Root | Kind::Module => {}
        Kind::Large => {
            "POST".clone_into(&mut request.method);
            request.chunks = vec![Chunk::from(Bytes(vec![b'x'; LARGE]))];
        }
        Kind::LargeAnswer => response.chunks = vec![Chunk::from(Bytes(vec![b'x'; LARGE]))],
        Kind::Late => response.after_ms = 200,
        Kind::Cut => response.cut = Some(Cut::BeforeHeaders),
        Kind::CutLate | Kind::CutShort => {
            response.cut = Some(Cut::InBody);
            response.chunks = vec![Chunk::from("hello"), Chunk::apart(" from upstream")];
            response.is_chunked = kind == Kind::CutLate;
        }
        Kind::Head => "HEAD".clone_into(&mut request.method),
        Kind::Post => {
            "POST".clone_into(&mut request.method);
            request.chunks = vec![Chunk::from("hello")];
        }
        Kind::Chunked | Kind::Trailers | Kind::Trap => {
            "POST".clone_into(&mut request.method);
            request.chunks = vec![Chunk::apart("abc"), Chunk::apart("defg")];
            request.is_chunked = true;
            request.end_after_ms = PAUSE_MS;
        }
        Kind::Grpc => {
            "POST".clone_into(&mut request.method);
            request.chunks = vec![Chunk::from(b"\0\0\0\0\x02hi")];
            request.headers.push(header("content-type", "application/grpc"));
            request.headers.push(header("te", "trailers"));
        }
    }
    if matches!(kind, Kind::Trailers | Kind::Trap) {
        request.trailers = vec![header("x-sum", "7"), header("x-last", "yes")];
        response.trailers = vec![header("x-done", "1")];
        response.is_chunked = true;
    }
    Exchange { request, response, ..Exchange::default() }
}
