//! `outrigger redact`, as a program uses it and as a person does.

#[path = "../../pii/tests/common/cases.rs"]
mod cases;

use serde_json::{Value, json};
use std::{
    fs,
    io::Write as _,
    process::{Command, Output, Stdio},
    thread,
};

#[allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test that cannot go on has failed")]
fn redact(arguments: &[&str], input: Vec<u8>) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .arg("redact")
        .env("PII_KEY", "0123456789abcdef")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    output
}

#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
fn answers(arguments: &[&str], input: &str) -> Vec<Value> {
    let output = redact(arguments, input.as_bytes().to_vec());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn each_line_has_an_answer_in_order_and_a_bad_one_an_error() {
    let input = concat!(
        r#"{"id":"1","text":"é joe@example.com"}"#,
        "\n",
        "no JSON\n",
        r#"{"id":2,"key":"phone","text":"030 1234567"}"#,
        "\n",
        r#"{"id":3}"#,
        "\n",
        r#"{"id":null,"text":"nothing"}"#,
    );
    let answers = answers(&["--jsonl"], input);
    assert_eq!(answers.len(), 5);
    assert_eq!(
        answers[0],
        json!({"id": "1", "redacted": "é [EMAIL]", "spans": [{"start": 3, "end": 18, "type": "email"}]})
    );
    assert_eq!(answers[1]["id"], Value::Null);
    assert!(answers[1]["error"].is_string() && answers[1].get("redacted").is_none());
    assert_eq!(
        answers[2],
        json!({"id": 2, "redacted": "*********67", "spans": [{"start": 0, "end": 11, "type": "phone"}]})
    );
    assert!(answers[3]["error"].is_string());
    assert_eq!(answers[4], json!({"id": null, "redacted": "nothing", "spans": []}));
}

#[test]
fn a_person_reads_the_text_and_what_was_found() {
    let output = redact(&[], b"to joe@example.com\nfrom 198.51.100.7\n".to_vec());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "to [EMAIL]\nfrom 198.51.100.0\n");
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        log.contains("line 1, bytes 3..18: email") && log.contains("line 2, bytes 24..36: ipv4"),
        "{log}"
    );
    assert!(log.contains("2 found"), "{log}");
}

#[test]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
fn a_configuration_counts_and_a_bad_one_is_refused_with_its_line() {
    let folder = env!("CARGO_TARGET_TMPDIR");
    let file = |name: &str, text: &str| {
        let path = format!("{folder}/{name}");
        fs::write(&path, text).unwrap();
        path
    };
    let good = file("good.yaml", "pii:\n  ignore: [email]\n  regexes:\n  - pattern: EMP-[0-9]+\n");
    let answer =
        answers(&["--jsonl", "--config", &good], r#"{"id":1,"text":"joe@example.com EMP-1 198.51.100.7"}"#);
    assert_eq!(answer[0]["redacted"], "joe@example.com [CUSTOM] 198.51.100.0");
    let bad = file("bad.yaml", "pii:\n  operators:\n    card: {do: mask, first: 6, last: 6}\n");
    let output = redact(&["--config", &bad], Vec::new());
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        log.contains("bad.yaml:3: pii.operators.card: must keep at most the first 6 and the last 4"),
        "{log}"
    );
    let keyed = file("keyed.json", r#"{"pii": {"token": {"key_env": "PII_KEY", "key_id": "k7"}}}"#);
    let answer = answers(&["--jsonl", "--config", &keyed], r#"{"id":1,"text":"joe@example.com"}"#);
    assert!(answer[0]["redacted"].as_str().unwrap().starts_with("t1:k7:email:"), "{answer:?}");
    let unset = file("unset.yaml", "pii:\n  token:\n    key_env: NOT_SET_ANYWHERE\n");
    let output = redact(&["--config", &unset], Vec::new());
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(log.contains("unset.yaml:3: pii.token.key_env: must name a variable"), "{log}");
    let output = redact(&["--config", &file("none.yaml", "a: 1\n")], Vec::new());
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn no_value_leaks_through_the_tool() {
    let cases: Vec<cases::Case> = cases::all(40, 13).collect();
    let lines: Vec<String> =
        cases.iter().enumerate().map(|(id, case)| json!({"id": id, "text": case.text}).to_string()).collect();
    let answers = answers(&["--jsonl"], &lines.join("\n"));
    assert!(cases.len() >= 200_000 && answers.len() == cases.len());
    let mut leaked = Vec::new();
    for (case, answer) in cases.iter().zip(&answers) {
        let redacted = answer["redacted"].as_str().unwrap_or_default();
        if let Some(form) = cases::leak(&case.value, redacted) {
            leaked.push(format!("{} {} {}: {form} in {redacted}", case.entity, case.encoding, case.place));
        }
    }
    println!("{} cases, {} of them leak", cases.len(), leaked.len());
    assert!(leaked.is_empty(), "{}: {:#?}", leaked.len(), leaked.first());
}
