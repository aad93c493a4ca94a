//! `outrigger bucket`: what a key gets, to compare with an SDK.

use clap::builder::PossibleValuesParser;
use experiments::bucket::{Algorithm, Bucketer, Shown, Units};
use filter_kit::settings::{Field, Node};
use serde::Serialize;
use serde_json::{Map, Value};
use std::{cell::RefCell, process::ExitCode};

/// Prints the value that each key gets, as the algorithm's SDK shows it.
///
/// GrowthBook and LaunchDarkly show a share of 1, flagd's first version a share of 100, Unleash 1 to the total, and the others 0 to below
/// the total. Our own algorithm shows the slot, and behind it the place in the coverage.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  outrigger bucket --algorithm outrigger --salt checkout user-1 user-2")]
pub struct Args {
    /// Whose formula.
    #[arg(long, value_parser = PossibleValuesParser::new(Algorithm::WORDS.iter().map(|(word, _)| *word)))]
    algorithm: String,
    /// GrowthBook's and flagd's, empty unless given; LaunchDarkly's, a whole number in place of group and salt.
    #[arg(long)]
    seed: Option<String>,
    /// Unleash's group, Optimizely's parent id, LaunchDarkly's flag key.
    #[arg(long)]
    group: Option<String>,
    /// Our own, LaunchDarkly's and Eppo's.
    #[arg(long)]
    salt: Option<String>,
    /// Eppo's total of shards [default: 10000].
    #[arg(long)]
    total_shards: Option<i64>,
    /// The sum of weights, for flagd and Unleash's variants.
    #[arg(long)]
    total_weight: Option<u64>,
    /// What GrowthBook's hash is over [default: utf-16].
    #[arg(long, value_parser = PossibleValuesParser::new(Units::WORDS.iter().map(|(word, _)| *word)))]
    units: Option<String>,
    /// GrowthBook's namespace, in place of a seed, with growthbook-v1.
    #[arg(long, conflicts_with = "seed")]
    namespace: Option<String>,
    /// Print one line of JSON a key.
    #[arg(long)]
    json: bool,
    /// The keys.
    #[arg(required = true)]
    keys: Vec<String>,
}

/// What a key gets.
#[derive(Debug, Serialize)]
struct Report<'a> {
    key: &'a str,
    algorithm: &'a str,
    /// As the SDK shows it; null for an empty key, which no SDK buckets.
    value: Option<Value>,
    /// The place in the coverage, of our own algorithm.
    place: Option<u16>,
    /// How many values there are.
    total: u64,
}

/// Runs the command.
///
/// # Errors
/// An algorithm lacks what it needs, or is given what it does not take: exit code 2.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    let bucketer = bucketer(args)?;
    for key in &args.keys {
        let bucket = (!key.is_empty()).then(|| bucketer.of(key.as_bytes()));
        let shown = bucket.map(|bucket| bucketer.show(bucket.value));
        let place =
            bucket.filter(|_| bucketer.algorithm() == Algorithm::Outrigger).map(|bucket| bucket.place);
        if args.json {
            let value = shown.map(|shown| match shown {
                Shown::Whole(value) => Value::from(value),
                Shown::Share(value) => Value::from(value),
            });
            let report = Report { key, algorithm: &args.algorithm, value, place, total: bucketer.total() };
            anstream::println!("{}", serde_json::to_string(&report).map_err(|error| error.to_string())?);
            continue;
        }
        let value = match shown {
            Some(Shown::Whole(value)) => value.to_string(),
            Some(Shown::Share(value)) => value.to_string(),
            None => "-".to_owned(),
        };
        let place = place.map_or_else(String::new, |place| format!(" {place}"));
        anstream::println!("{key}: {value}{place}");
    }
    Ok(ExitCode::SUCCESS)
}

fn bucketer(args: &Args) -> Result<Bucketer, String> {
    if let Some(namespace) = &args.namespace {
        if args.algorithm != "growthbook-v1" {
            return Err("--namespace: is for growthbook-v1".to_owned());
        }
        let units = Units::WORDS.iter().find(|(word, _)| Some(*word) == args.units.as_deref());
        return Ok(Bucketer::namespace(namespace, units.map(|(_, units)| *units).unwrap_or_default()));
    }
    let mut fields = Map::new();
    fields.insert("algorithm".to_owned(), Value::from(args.algorithm.as_str()));
    for (name, text) in
        [("seed", &args.seed), ("group", &args.group), ("salt", &args.salt), ("units", &args.units)]
    {
        fields.extend(text.as_ref().map(|text| (name.to_owned(), Value::from(text.as_str()))));
    }
    fields.extend(args.total_shards.map(|total| ("total_shards".to_owned(), Value::from(total))));
    // In a configuration the experiment's name stands for these.
    let needs: &[&str] = match args.algorithm.as_str() {
        "outrigger" => &["salt"],
        "unleash" | "unleash-variant" | "optimizely" => &["group"],
        "launchdarkly" if args.seed.is_none() => &["group", "salt"],
        _ => &[],
    };
    if let Some(missing) = needs.iter().find(|name| !fields.contains_key(**name)) {
        return Err(format!("--{missing}: must be given with {}", args.algorithm));
    }
    let has_weights = matches!(args.algorithm.as_str(), "flagd" | "unleash-variant");
    if has_weights != args.total_weight.is_some() {
        let rule = if has_weights { "must be given" } else { "must not be given" };
        return Err(format!("--total-weight: {rule} with {}", args.algorithm));
    }
    let total = args.total_weight.unwrap_or(0);
    if has_weights && !(1..1 << 31).contains(&total) {
        return Err(format!("--total-weight: must be 1..=2147483647, got {total}"));
    }
    let text = Value::Object(fields).to_string();
    let document = Node::parse(text.as_bytes()).map_err(|error| error.to_string())?;
    let refused = RefCell::default();
    let field = Field::root(&document, &refused);
    let read = experiments::read_hash(&field, total);
    field.finish(read).map_err(|error| format!("--{}: {}", error.path().replace('_', "-"), error.message()))
}

#[cfg(test)]
mod tests {
    use super::{Args, bucketer};
    use clap::Parser;
    use experiments::bucket::Shown;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    /// Reads the arguments, the last of them a key.
    fn shown(arguments: &str) -> Result<Shown, String> {
        let words = std::iter::once("bucket").chain(arguments.split(' '));
        let Command { args } = Command::try_parse_from(words).map_err(|error| error.to_string())?;
        let bucketer = bucketer(&args)?;
        Ok(bucketer.show(bucketer.of(args.keys[0].as_bytes()).value))
    }

    #[test]
    fn a_key_gets_what_its_sdk_shows() {
        for (arguments, expected) in [
            // Those of GrowthBook are its published vectors; the others were computed by another program.
            ("--algorithm growthbook-v1 a", Shown::Share(0.22)),
            ("--algorithm growthbook-v1 --seed b a", Shown::Share(0.946)),
            ("--algorithm growthbook-v2 --seed foo --units utf-8 ab", Shown::Share(0.2575)),
            ("--algorithm growthbook-v1 --namespace namespace1 1", Shown::Share(0.68)),
            ("--algorithm outrigger --salt checkout bob", Shown::Whole(2974)),
            ("--algorithm unleash --group AB12A 122", Shown::Whole(23)),
            (
                "--algorithm unleash-variant --group Feature.Variants.D --total-weight 100 712",
                Shown::Whole(1),
            ),
            ("--algorithm flagd --seed fractional-flag --total-weight 100 jack", Shown::Whole(62)),
            ("--algorithm optimizely --group 1886780721 user", Shown::Whole(170)),
            ("--algorithm eppo --salt salt user", Shown::Whole(7946)),
        ] {
            assert_eq!(shown(arguments), Ok(expected), "{arguments}");
        }
    }

    #[test]
    fn what_is_missing_or_too_much_is_named() {
        for (arguments, expected) in [
            ("--algorithm outrigger bob", "--salt: must be given with outrigger"),
            ("--algorithm flagd bob", "--total-weight: must be given with flagd"),
            ("--algorithm eppo --salt s --total-weight 3 bob", "--total-weight: must not be given with eppo"),
            ("--algorithm unleash --group g --seed s bob", "--seed: must not be given with this algorithm"),
            (
                "--algorithm eppo --salt s --total-shards 0 bob",
                "--total-shards: must be 1..=4294967295, got 0",
            ),
            ("--algorithm eppo --namespace n bob", "--namespace: is for growthbook-v1"),
            ("--algorithm launchdarkly --seed x bob", "--seed: must be a whole number with this algorithm"),
        ] {
            assert_eq!(shown(arguments), Err(expected.to_owned()), "{arguments}");
        }
        assert!(
            shown("--algorithm md5 bob").is_err_and(|error| error.contains("[possible values: outrigger"))
        );
    }
}
