//! A page of what changes between two configurations: one file, without anything from elsewhere.

use super::{
    change::{Changed, Kind, plain},
    traffic::{Group, Least, Usage, Way},
};
use std::{collections::BTreeMap, fmt::Write as _};

/// The most requests that a page lists.
const LISTED: usize = 500;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1d2433;background:#fff}\
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #d8dde6;vertical-align:top}th{color:#5a6478;font-weight:600}\
td.n{text-align:right;font-variant-numeric:tabular-nums}code{font:13px ui-monospace,monospace}\
.bar{display:inline-block;height:.7rem;background:#3b6fd4;border-radius:2px}.bar.b{background:#e08a2e}\
.big{font-size:2rem;font-weight:600}.from{color:#a33}.to{color:#26734d}\
@media(prefers-color-scheme:dark){body{background:#141821;color:#dfe4ee}th{color:#9aa5ba}th,td{border-color:#2b3242}.from{color:#f08a8a}.to{color:#7fd1a8}}";

/// What is told.
pub struct Facts<'t> {
    pub requests: usize,
    pub changed: &'t [Changed],
    pub kinds: &'t BTreeMap<Kind, usize>,
    pub arms: &'t BTreeMap<(String, String), [usize; 2]>,
    /// New and gone.
    pub fields: [Vec<&'t str>; 2],
    pub series: [Vec<&'t str>; 2],
    /// What policies allow or deny otherwise.
    pub groups: Vec<Group>,
    /// What the requests use of their rules.
    pub usage: Vec<Usage>,
}

/// The page.
pub fn page(facts: &Facts<'_>, names: &[String; 2]) -> String {
    let [first, second] = names.each_ref().map(|name| escape(name));
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>What changes</title><style>{STYLE}</style><h1>What changes from <code>{first}</code> to <code>{second}</code></h1>\
         <p><span class=big>{}</span> of {} decisions differ.</p>",
        facts.changed.len(),
        facts.requests
    );
    if !facts.arms.is_empty() {
        page.push_str("<h2>Who is where</h2><table><tr><th>experiment<th>arm<th>before<th>after<th></tr>");
        for ((experiment, arm), [before, after]) in facts.arms {
            let width = |count: usize| count * 200 / facts.requests.max(1);
            let _ = write!(
                page,
                "<tr><td>{}<td>{}<td class=n>{before}<td class=n>{after}<td><span class=bar style=\"width:{}px\"></span><br>\
                 <span class=\"bar b\" style=\"width:{}px\"></span>",
                escape(experiment),
                escape(arm),
                width(*before),
                width(*after)
            );
        }
        page.push_str("</table>");
    }
    page.push_str("<h2>By kind of change</h2><table><tr><th>what<th>from<th>to<th>requests</tr>");
    for (kind, count) in facts.kinds {
        let _ = write!(page, "<tr><td>{}{}<td class=n>{count}", escape(&kind.what), sides(kind));
    }
    page.push_str("</table>");
    for (what, [new, gone]) in [("Fields of the log", &facts.fields), ("Series", &facts.series)] {
        if !new.is_empty() || !gone.is_empty() {
            let list = |names: &[&str]| {
                names
                    .iter()
                    .map(|name| escape(name))
                    .map(|name| ["<code>", &name, "</code><br>"].concat())
                    .collect::<Vec<_>>()
                    .concat()
            };
            let _ = write!(
                page,
                "<h2>{what}</h2><table><tr><th>new<th>gone</tr><tr><td>{}<td>{}</table>",
                list(new),
                list(gone)
            );
        }
    }
    policies(&mut page, facts);
    page.push_str("<h2>Requests</h2><table><tr><th>id<th>request<th>what<th>from<th>to</tr>");
    for changed in facts.changed.iter().take(LISTED) {
        for (place, kind) in changed.changes.iter().enumerate() {
            let (id, request) =
                if place == 0 { (plain(&changed.id), changed.request.as_str()) } else { (String::new(), "") };
            let _ = write!(
                page,
                "<tr><td>{}<td><code>{}</code><td>{}{}",
                escape(&id),
                escape(request),
                escape(&kind.what),
                sides(kind)
            );
        }
    }
    page.push_str("</table>");
    if facts.changed.len() > LISTED {
        let _ = write!(page, "<p>{} further requests are not listed.</p>", facts.changed.len() - LISTED);
    }
    page
}

/// What policies decide otherwise, and what the requests use of their rules.
fn policies(page: &mut String, facts: &Facts<'_>) {
    if !facts.groups.is_empty() {
        page.push_str(
            "<h2>Allowed or denied otherwise</h2><table><tr><th>result<th>decides now<th>would decide<th>requests<th>such as</tr>",
        );
        for Group { way: Way { result, live, candidate }, requests, examples } in &facts.groups {
            let examples: Vec<String> = examples
                .iter()
                .map(|one| format!("{} <code>{}</code>", escape(&plain(&one.id)), escape(&one.request)))
                .collect();
            let _ = write!(
                page,
                "<tr><td>{result}<td class=from>{}<td class=to>{}<td class=n>{requests}<td>{}",
                escape(live),
                escape(candidate),
                examples.join("<br>")
            );
        }
        page.push_str("</table>");
    }
    for Usage { config, rules, unused, least_allow } in &facts.usage {
        let _ = write!(
            page,
            "<h2>Rules of <code>{}</code> that the requests used</h2><table><tr><th>rule<th>action<th>decided<th>matched</tr>",
            escape(config)
        );
        for used in rules.iter().take(LISTED) {
            let dry = if used.dry_run { " (dry run)" } else { "" };
            let (rule, action) = (escape(&used.rule), used.action);
            let _ = write!(
                page,
                "<tr><td><code>{rule}</code><td>{action}{dry}<td class=n>{}<td class=n>{}",
                used.decided, used.matched
            );
        }
        page.push_str("</table>");
        let list = |page: &mut String, rules: &[String]| {
            let shown = rules.iter().take(LISTED).map(|rule| format!("<li><code>{}</code>", escape(rule)));
            let _ = write!(page, "<ul>{}</ul>", shown.collect::<Vec<_>>().concat());
            if rules.len() > LISTED {
                let _ = write!(page, "<p>{} further rules are not listed.</p>", rules.len() - LISTED);
            }
        };
        if !unused.is_empty() {
            page.push_str("<p>Rules that matched no request:</p>");
            list(page, unused);
        }
        let Least { rules, of, is_exact } = least_allow;
        if *of > 0 {
            let least = if *is_exact { "no fewer do" } else { "the fewest that were found" };
            let _ = write!(
                page,
                "<p>ALLOW rules that are enough for the same decisions on these requests, {} of {of} ({least}):</p>",
                rules.len()
            );
            list(page, rules);
        }
    }
}

fn sides(kind: &Kind) -> String {
    let side = |class: &str, value: &Option<String>| {
        format!("<td class={class}>{}", value.as_deref().map_or_else(|| "-".to_owned(), escape))
    };
    side("from", &kind.from) + &side("to", &kind.to)
}

fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
        out
    })
}
