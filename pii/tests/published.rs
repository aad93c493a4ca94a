//! Published data: how much of it is found, and how much of what is found is there.
//!
//! `cargo test -p pii --test published -- --nocapture` prints the figures.
#![allow(clippy::indexing_slicing, clippy::string_slice, reason = "a test that cannot go on has failed")]

mod common;

use pii::{Engine, Entity, Place};
use std::collections::BTreeMap;

/// Rows of the validators' tests that say nothing of a checksum.
const EXCEPTED: [(&str, &str, &str); 10] = [
    ("iso_7064_checksum", "00 000 000 000.", "of the test of invalid ones, and labelled as valid"),
    ("iso_7064_checksum", "30405607809", "of the test of invalid ones, and labelled as valid"),
    ("nir_checksum", "*", "the rows that must fail are labelled as valid, `123` among them"),
    ("non_hex_checker", "*", "asks whether a text is hexadecimal, which is no entity"),
    ("entropy", "*", "asks for entropy alone, of UUIDs too, which is no entity"),
    (
        "greece_amka_checksum",
        "*",
        "doubles the digits from the other end than Luhn, and its rows begin with a year",
    ),
    ("slovenia_tin_checksum", "*", "weights 7 to 1, where the Commission's list of tax numbers has 8 to 2"),
    ("irish_pps_checksum", "1084633WWX", "three letters, which Revenue has never given"),
    (
        "brazilian_cnpj_checksum",
        "00....623.904\n            ",
        "a text over several lines, cut off after the first",
    ),
    ("france_nif_checksum", "07-01😇987.765C493", "a letter among the digits"),
];

fn entity(validator: &str) -> Option<Entity> {
    Some(match validator {
        "aba_rtn_checksum" => Entity::UsAba,
        "australian_medicare_checksum" => Entity::AuMedicare,
        "australian_tfn_checksum" => Entity::AuTfn,
        "austrian_ssn_checksum" => Entity::AtSvnr,
        "belgium_national_register_checksum" => Entity::BeNrn,
        "brazilian_cnpj_checksum" => Entity::BrCnpj,
        "brazilian_cpf_checksum" => Entity::BrCpf,
        "btc_checksum" | "ethereum_checksum" | "monero_address" => Entity::CryptoWallet,
        "bulgarian_egn_checksum" => Entity::BgEgn,
        "chinese_id_checksum" => Entity::CnRic,
        "coordination_number_checksum" | "sweden_pin_checksum" => Entity::SePersonnummer,
        "czech_tin_checksum" | "rodne_cislo_checksum" => Entity::CzRodneCislo,
        "dutch_bsn_checksum" => Entity::NlBsn,
        "dutch_passport_checksum" => Entity::NlPassport,
        "estonia_personal_code_checksum" => Entity::EeIsikukood,
        "finnish_hetu_checksum" => Entity::FiHetu,
        "france_nif_checksum" => Entity::FrSpi,
        "france_ssn_checksum" => Entity::FrNir,
        "german_ids_checksum" => Entity::DeIdCard,
        "german_svnr_checksum" => Entity::DeSvnr,
        "greece_tin_checksum" => Entity::GrAfm,
        "hungarian_tin_checksum" => Entity::HuTin,
        "iban_checker" => Entity::Iban,
        "irish_pps_checksum" => Entity::IePps,
        "italian_national_id_checksum" => Entity::ItFiscalCode,
        "latvia_national_id_checksum" => Entity::LvPersonasKods,
        "lithuanian_personal_identification_number_checksum" => Entity::LtAsmensKodas,
        "luhn_checksum" => Entity::Card,
        "luxembourg_individual_nin_checksum" => Entity::LuNin,
        "nhs_check_digit" => Entity::UkNhs,
        "polish_national_id_checksum" => Entity::PlPesel,
        "polish_nip_checksum" => Entity::PlNip,
        "portuguese_tax_id_checksum" => Entity::PtNif,
        "romanian_personal_numeric_code" => Entity::RoCnp,
        "singapore_nric_checksum" => Entity::SgNric,
        "slovenian_pin_checksum" => Entity::SiEmso,
        "spain_dni_checksum" => Entity::EsNif,
        "spanish_nuss_checksum" => Entity::EsNuss,
        "uk_nino_format_check" => Entity::UkNino,
        "uk_trn_checksum" => Entity::UkUtr,
        "us_dea_checksum" => Entity::UsDea,
        "us_npi_checksum" => Entity::UsNpi,
        _ => return None,
    })
}

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    found: usize,
    missed: usize,
    wrong: usize,
}

impl Count {
    #[expect(clippy::cast_precision_loss, reason = "hundreds")]
    fn part(of: usize, whole: usize) -> f64 {
        if whole == 0 { 1.0 } else { of as f64 / whole as f64 }
    }
    fn recall(self) -> f64 {
        Self::part(self.found, self.found + self.missed)
    }
    fn precision(self) -> f64 {
        Self::part(self.found, self.found + self.wrong)
    }
}

#[test]
fn every_published_number_has_its_checksum_and_no_other_has() {
    let mut all = Count::default();
    let mut wrong = Vec::new();
    let mut rows = 0;
    for row in common::published("dd_sds_validator_tests.jsonl") {
        let (validator, text) = (row["validator"].as_str().unwrap(), row["text"].as_str().unwrap());
        let excepted =
            |(name, which, _): &(&str, &str, &str)| *name == validator && (*which == "*" || *which == text);
        if EXCEPTED.iter().any(excepted) {
            continue;
        }
        rows += 1;
        // The ends of lines in some texts are those of a source file.
        let text = text.replace("\\n", "").replace("\\t", "");
        let valid = match (validator, entity(validator)) {
            ("verhoeff_checksum", _) => pii::checksums::verhoeff(text.as_bytes()),
            ("iso_7064_checksum", _) => {
                let letters = text.bytes().filter(u8::is_ascii_alphanumeric);
                let compact: Vec<u8> = letters.map(|byte| byte.to_ascii_uppercase()).collect();
                let clean = text.is_ascii() && !text.starts_with('a');
                clean && (pii::checksums::mod_11_10(&compact) || pii::checksums::mod_11_2(&compact))
            }
            (_, Some(entity)) => pii::is_valid(entity, &text).unwrap(),
            (other, None) => panic!("no entity for {other}"),
        };
        match (valid, row["valid"].as_bool().unwrap()) {
            (true, true) => all.found += 1,
            (false, true) => all.missed += 1,
            (true, false) => all.wrong += 1,
            (false, false) => continue,
        }
        if valid != row["valid"].as_bool().unwrap() {
            wrong.push(format!("{validator}: {text:?} {valid}"));
        }
    }
    println!("validators: {rows} rows, recall {:.3}, precision {:.3}", all.recall(), all.precision());
    for row in &wrong {
        println!("  {row}");
    }
    assert!(all.recall() >= 0.98 && all.precision() >= 0.97, "{wrong:#?}");
}

/// The labels of Presidio's sentences that have a checksum or a fixed shape, and ours for them.
const SHAPED: [(&str, &[Entity]); 4] = [
    ("CREDIT_CARD", &[Entity::Card]),
    ("US_SSN", &[Entity::UsSsn]),
    ("IP_ADDRESS", &[Entity::Ipv4, Entity::Ipv6]),
    ("EMAIL_ADDRESS", &[Entity::Email]),
];

#[test]
fn presidios_sentences_give_what_is_labelled() {
    let engine = Engine::default();
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    let mut others = Vec::new();
    for row in common::published("presidio_research_generated_small.jsonl") {
        let text = row["text"].as_str().unwrap();
        // Labels are in code points.
        let byte = |point: usize| text.char_indices().nth(point).map_or(text.len(), |(byte, _)| byte);
        let place = |value: &serde_json::Value| byte(usize::try_from(value.as_u64().unwrap()).unwrap());
        let labels: Vec<(usize, usize, &str)> = row["spans"]
            .as_array()
            .unwrap()
            .iter()
            .map(|span| (place(&span["start"]), place(&span["end"]), span["type"].as_str().unwrap()))
            .collect();
        let found = engine.find(text.as_bytes(), Place::Text);
        let wanted = SHAPED
            .iter()
            .map(|(label, entities)| (*label, *entities))
            .chain([("PHONE_NUMBER", &[Entity::Phone][..])]);
        for (label, entities) in wanted {
            let count = counts.entry(label).or_default();
            let ours: Vec<_> = found.spans().iter().filter(|span| entities.contains(&span.entity)).collect();
            for (start, end, _) in labels.iter().filter(|(.., name)| *name == label) {
                let hit = ours.iter().any(|span| span.start <= *start && span.end >= *end);
                if hit {
                    count.found += 1;
                } else {
                    count.missed += 1;
                    others.push(format!("missed {label} {:?} in {text:?}", &text[*start..*end]));
                }
            }
            for span in ours {
                let labelled = labels
                    .iter()
                    .any(|(start, end, name)| *name == label && span.start < *end && *start < span.end);
                if !labelled {
                    count.wrong += 1;
                    others.push(format!("wrong {label} {:?} in {text:?}", &text[span.start..span.end]));
                }
            }
        }
        for span in found.spans() {
            if !labels.iter().any(|(start, end, _)| span.start < *end && *start < span.end) {
                others.push(format!(
                    "unlabelled {} {:?} in {text:?}",
                    span.entity,
                    &text[span.start..span.end]
                ));
            }
        }
    }
    for (label, count) in &counts {
        println!("{label}: {count:?}, recall {:.3}, precision {:.3}", count.recall(), count.precision());
    }
    for other in &others {
        println!("  {other}");
    }
    for (label, _) in SHAPED {
        assert!(
            counts[label].recall() >= 0.98 && counts[label].precision() >= 0.97,
            "{label}: {:?}",
            counts[label]
        );
    }
}
