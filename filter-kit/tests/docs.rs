//! docs/writing-a-filter.md shows the files that it names.

const GUIDE: &str = include_str!("../../docs/writing-a-filter.md");
const EXAMPLE: &str = include_str!("../examples/maintenance.rs");
const SCENARIOS: &str = include_str!("../scenarios/maintenance/maintenance.toml");

#[test]
fn the_guide_shows_the_example_and_its_scenarios_whole() {
    let blocks = |kind: &str| -> Vec<&str> {
        let parts = GUIDE.split(kind).skip(1);
        parts.filter_map(|rest| rest.split("```").next()).map(str::trim_end).collect()
    };
    assert_eq!(blocks("```rust\n").join("\n\n"), EXAMPLE.trim_end(), "copy the example into the guide");
    assert_eq!(blocks("```toml\n"), [SCENARIOS.trim_end()], "copy the scenarios into the guide");
}
