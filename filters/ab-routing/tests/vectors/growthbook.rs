//! GrowthBook: hashes, ranges, variations, weights, namespaces and overrides by the query.

use crate::{arm, drive, json, tester, try_filter};
use experiments::bucket::{Algorithm, Bucketer, Parameters, Ranges, Shown, growthbook};
use filter_kit::fake::Stream;
use serde_json::{Value, json};

const CASES: &str = "growthbook/cases.json";

#[test]
fn hashes() {
    let cases = json(CASES);
    let rows = cases["hash"].as_array().unwrap();
    for row in rows {
        let (seed, value) = (row[0].as_str().unwrap(), row[1].as_str().unwrap());
        let algorithm = match row[2].as_u64() {
            Some(1) => Algorithm::GrowthbookV1,
            Some(2) => Algorithm::GrowthbookV2,
            // Another version is not bucketed; here it is refused.
            version => {
                assert_eq!(row[3], Value::Null);
                let algorithm = format!("growthbook-v{}", version.unwrap());
                let config = json!({"experiments": [{"name": "e", "algorithm": algorithm, "key": [{"header": "x-id"}], "arms": [{"name": "a"}]}]});
                assert!(
                    try_filter(&config).unwrap_err().starts_with("experiments[0].algorithm: unknown variant")
                );
                continue;
            }
        };
        let bucketer = Bucketer::new(algorithm, &Parameters { seed, ..Parameters::default() });
        let shown = bucketer.show(bucketer.of(value.as_bytes()).value);
        assert_eq!(shown, Shown::Share(row[3].as_f64().unwrap()), "{row}");
    }
    assert_eq!(rows.len(), 15);
}

fn numbers(value: &Value) -> Option<Vec<f64>> {
    value.as_array().map(|numbers| numbers.iter().map(|number| number.as_f64().unwrap()).collect())
}

fn pairs(value: &Value) -> Vec<(f64, f64)> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| (pair[0].as_f64().unwrap(), pair[1].as_f64().unwrap()))
        .collect()
}

#[test]
fn ranges_of_coverage_and_weights() {
    let cases = json(CASES);
    let rows = cases["getBucketRange"].as_array().unwrap();
    let mut refused = Vec::new();
    for row in rows {
        let count = usize::try_from(row[1][0].as_u64().unwrap()).unwrap();
        let weights = numbers(&row[1][2]);
        let ranges = growthbook::ranges(count, row[1][1].as_f64().unwrap(), weights.as_deref());
        let expected = pairs(&row[2]);
        let is_near = |(one, other): (&(f64, f64), &(f64, f64))| {
            (one.0 - other.0).abs() < 1e-6 && (one.1 - other.1).abs() < 1e-6
        };
        assert!(
            ranges.len() == expected.len() && ranges.iter().zip(&expected).all(is_near),
            "{row}: {ranges:?}"
        );
        // In a configuration, what the SDK mends at run time is refused.
        let mut arms: Vec<Value> = (0..count).map(|arm| json!({"name": arm.to_string()})).collect();
        for (arm, weight) in weights.iter().flatten().enumerate() {
            if let Some(arm) = arms.get_mut(arm) {
                arm["weight"] = json!(weight);
            }
        }
        let experiment = json!({"name": "e", "algorithm": "growthbook-v2", "coverage": row[1][1], "key": [{"header": "x-id"}], "arms": arms});
        if try_filter(&json!({"experiments": [experiment]})).is_err() {
            refused.push(row[0].as_str().unwrap());
        }
    }
    assert_eq!(
        refused,
        [
            "negative coverage",
            "coverage above 1",
            "weights sum below 1",
            "weights sum above 1",
            "weights.length not equal to num variations"
        ]
    );
    assert_eq!(rows.len(), 13);
}

#[test]
fn variations_of_ranges() {
    let cases = json(CASES);
    let rows = cases["chooseVariation"].as_array().unwrap();
    let bucketer = Bucketer::new(Algorithm::GrowthbookV2, &Parameters::default());
    for row in rows {
        let bound = |((start, end), owner)| (bucketer.bound(start), bucketer.bound(end), owner);
        let ranges: Vec<_> = pairs(&row[2]).into_iter().zip(0..).map(bound).collect();
        let value = bucketer.bound(row[1].as_f64().unwrap());
        assert_eq!(bucketer.show(value), Shown::Share(row[1].as_f64().unwrap()), "{row}");
        let owner = Ranges::new(&ranges).owner(value).map_or(-1, i64::from);
        assert_eq!(Some(owner), row[3].as_i64(), "{row}");
    }
    assert_eq!(rows.len(), 13);
}

#[test]
fn equal_weights() {
    let cases = json(CASES);
    let rows = cases["getEqualWeights"].as_array().unwrap();
    for row in rows {
        // Fewer than no arms are none.
        let count = usize::try_from(row[0].as_i64().unwrap()).unwrap_or(0);
        let (weights, expected) = (growthbook::equal_weights(count), numbers(&row[1]).unwrap());
        assert_eq!(weights.len(), expected.len(), "{row}");
        assert!(weights.iter().zip(&expected).all(|(one, other)| (one - other).abs() < 1e-6), "{row}");
    }
    assert_eq!(rows.len(), 6);
}

#[test]
fn namespaces() {
    let cases = json(CASES);
    let rows = cases["inNamespace"].as_array().unwrap();
    for row in rows {
        let config = json!({"experiments": [{
            "name": "e", "algorithm": "growthbook-v1", "namespace": row[2], "key": [{"header": "x-id"}], "arms": [{"name": "in"}],
        }]});
        let outcome = drive(&config, &Stream::get("/").header("x-id", row[1].as_str().unwrap()));
        assert_eq!(Some(arm(&outcome, "x-arm").is_some()), row[3].as_bool(), "{row}");
    }
    assert_eq!(rows.len(), 16);
}

#[test]
fn overrides_by_the_query() {
    let cases = json(CASES);
    let rows = cases["getQueryStringOverride"].as_array().unwrap();
    for row in rows {
        let name = row[1].as_str().unwrap();
        let path = row[2].as_str().unwrap().trim_start_matches("http://example.com");
        let arms: Vec<Value> =
            (0..row[3].as_u64().unwrap()).map(|arm| json!({"name": arm.to_string()})).collect();
        // Nobody is in by the hash.
        let config = json!({
            "overrides": {"query": name, "trusted_principals": ["spiffe://test/qa"]},
            "experiments": [{"name": name, "algorithm": "growthbook-v1", "coverage": 0, "key": [{"header": "x-id"}], "arms": arms}],
        });
        let request = tester(Stream::get(&format!("/{path}")).header("x-id", "1"));
        let outcome = drive(&config, &request);
        let expected = row[4].as_u64().map(|arm| arm.to_string());
        assert_eq!(arm(&outcome, "x-arm"), expected, "{row}");
        // The upstream never sees it.
        assert!(!outcome.request_header(":path")[0].contains("my-test="), "{row}");
    }
    assert_eq!(rows.len(), 16);
}
