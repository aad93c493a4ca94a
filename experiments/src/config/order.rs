//! The order in which experiments are tried.

use filter_kit::settings::Field;

/// The experiments' own order, but that a prerequisite comes before those that require it.
pub(super) fn order(experiments: &[Field<'_, '_>]) -> Vec<usize> {
    let mut order = Vec::new();
    for place in 0..experiments.len() {
        visit(place, experiments, &mut Vec::new(), &mut order);
    }
    order
}

/// The place of the experiment of this name.
pub(super) fn find(experiments: &[Field<'_, '_>], name: &str) -> Option<usize> {
    experiments.iter().position(|other| other.get("name").text() == Some(name))
}

fn visit(place: usize, experiments: &[Field<'_, '_>], above: &mut Vec<usize>, order: &mut Vec<usize>) {
    let Some(experiment) = experiments.get(place) else { return };
    if order.contains(&place) {
        return;
    }
    above.push(place);
    for required in experiment.get("requires").items() {
        required.only(&["experiment", "arms"]);
        let (field, arms) = (required.get("experiment"), required.get("arms"));
        let name = field.text().unwrap_or_default();
        let Some(other) = find(experiments, name) else {
            field.refuse_text("must be the name of an experiment", name);
            continue;
        };
        if above.contains(&other) {
            let mut circle = String::new();
            for place in above.iter().skip_while(|place| **place != other).chain([&other]) {
                circle.push_str(if circle.is_empty() { "" } else { " -> " });
                circle.push_str(
                    experiments.get(*place).and_then(|other| other.get("name").text()).unwrap_or_default(),
                );
            }
            field.refuse_got("must not go round in a circle", &circle);
            continue;
        }
        if arms.is_empty() {
            arms.refuse("must hold at least one arm, got none");
        }
        let Some(config) = experiments.get(other) else { continue };
        let theirs = config.get("arms");
        for arm in arms.items() {
            let name = arm.text();
            if !theirs.items().any(|other| other.get("name").text() == name) {
                arm.refuse_text("must be an arm of that experiment", name.unwrap_or_default());
            }
        }
        visit(other, experiments, above, order);
    }
    above.pop();
    order.push(place);
}
