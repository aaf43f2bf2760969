use proptest::prelude::*;

use super::SlotReading;
use crate::slots::example::typed;

fn reading(slot: &str, text: &str) -> SlotReading {
    let slots = typed();
    let idx = slots.slots().iter().position(|it| it.name == slot).expect("a slot of the set");
    slots.parse(text).slots[idx].clone()
}

fn value(slot: &str, text: &str) -> Option<String> {
    reading(slot, text).value().map(str::to_owned)
}

fn conflict(slot: &str, text: &str) -> Vec<String> {
    match reading(slot, text) {
        SlotReading::Conflicting { values } => values,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn values_belong_to_what_they_are_about() {
    let text = "The default mode network is increased; the visual network is within normal limits.";
    assert_eq!(value("default_mode", text).as_deref(), Some("increased"));
    assert_eq!(value("visual", text).as_deref(), Some("normal"));
    let text = "Connectivity was increased in the DMN and decreased in the visual network.";
    assert_eq!(value("default_mode", text).as_deref(), Some("increased"));
    assert_eq!(value("visual", text).as_deref(), Some("decreased"));
    let text = "The visual network was decreased, the DMN increased.";
    assert_eq!(value("default_mode", text).as_deref(), Some("increased"));
    assert_eq!(value("visual", text).as_deref(), Some("decreased"));
    // nothing says whose
    assert_eq!(reading("visual", "Connectivity was increased."), SlotReading::Absent);
}

#[test]
fn what_is_denied_is_not_stated_and_of_a_flag_a_no() {
    assert_eq!(reading("default_mode", "The DMN is not increased."), SlotReading::Absent);
    let other = "The DMN is not increased but decreased.";
    // the contrast begins a new clause, in which nothing says whose
    assert_eq!(reading("default_mode", other), SlotReading::Absent);
    for text in [
        "Motion: no evidence of spikes.",
        "Motion: spikes are absent.",
        "Motion: the series denies spikes",
        "Motion: without a spike artefact",
        "Motion: no spikes",
    ] {
        assert_eq!(value("artefact", text).as_deref(), Some("no"), "{text}");
    }
    assert_eq!(value("artefact", "Motion: spikes throughout").as_deref(), Some("yes"));
    assert_eq!(reading("artefact", "Motion: fine."), SlotReading::Absent);
    assert_eq!(reading("artefact", "Findings: spikes"), SlotReading::Absent);
}

#[test]
fn contradictions_are_no_statement() {
    let text = "Motion: head motion was low. Head motion was high.";
    assert_eq!(conflict("motion", text), ["low", "high"]);
    assert_eq!(conflict("artefact", "Motion: spikes. No spikes."), ["yes", "no"]);
    let text = "Motion: mean FD 0.21 mm. Mean FD was 0.35 mm.";
    assert_eq!(conflict("mean_fd", text), ["0.21", "0.35"]);
    assert_eq!(conflict("mean_fd", "Motion: mean FD 0.21 mm or 0.35 mm.").len(), 2);
    let text = "Motion: head motion was low. Head motion was not low.";
    assert_eq!(conflict("motion", text), ["low", "not low"]);
    let text = "Impression: the visual network, but no network is affected.";
    assert_eq!(conflict("networks", text), ["Vis", "none"]);
}

#[test]
fn what_may_be_is_hedged() {
    let hedged = |value: &str| SlotReading::Hedged { value: value.to_owned() };
    assert_eq!(reading("artefact", "Motion: possible spikes."), hedged("yes"));
    assert_eq!(reading("artefact", "Motion: spikes cannot be excluded."), hedged("yes"));
    assert_eq!(reading("default_mode", "DMN may be increased."), hedged("increased"));
    assert_eq!(
        value("default_mode", "DMN may be increased. DMN is increased.").unwrap(),
        "increased"
    );
}

#[test]
fn numbers_have_units_and_belong_to_their_words() {
    let text = "Motion: head motion was low over 200 volumes, mean FD 0.21 mm (TR 2 s).";
    assert_eq!(value("mean_fd", text).as_deref(), Some("0.21"));
    assert_eq!(value("motion", text).as_deref(), Some("low"));
    assert_eq!(value("mean_fd", "Motion: mean FD: 210 µm").as_deref(), Some("0.21"));
    assert_eq!(value("mean_fd", "Motion: 0.21 mm mean FD").as_deref(), Some("0.21"));
    assert_eq!(value("mean_fd", "Motion: mean FD 0.2 to 0.3 mm").as_deref(), Some("0.20 to 0.30"));
    for silent in
        ["Motion: 0.21 mm", "Motion: mean FD of 200 volumes", "Motion: mean FD not 0.21 mm"]
    {
        assert_eq!(reading("mean_fd", silent), SlotReading::Absent, "{silent}");
    }
    let text = "Demographics: estimated age 93 years";
    assert_eq!(value("age", text).as_deref(), Some("90+"));
    assert_eq!(value("age", "Demographics: aged 90+ years").as_deref(), Some("90+"));
    let beyond = SlotReading::OutOfRange { value: "340".to_owned() };
    assert_eq!(reading("age", "Demographics: age 340 years"), beyond);
    let z = "Default mode network z = −1.25, which is low.";
    assert_eq!(value("default_mode_z", z).as_deref(), Some("-1.25"));
}

#[test]
fn numbers_fall_into_bins_and_ranges_only_whole() {
    let slots = typed();
    let age = slots.slot("age").unwrap();
    assert_eq!(age.class("34"), Some(1));
    assert_eq!(age.class("31 to 49"), Some(1));
    assert_eq!(age.class("20 to 34"), None);
    assert_eq!((age.class("90+"), age.number_of("20 to 30")), (Some(3), Some(25.0)));
}

#[test]
fn sets_have_members() {
    let of = |text: &str| value("networks", &format!("Impression: {text}"));
    assert_eq!(of("the somatomotor network and the visual system").as_deref(), Some("Vis, SM"));
    assert_eq!(of("no network is affected").as_deref(), Some("none"));
    assert_eq!(of("the visual network, not the default mode network").as_deref(), Some("Vis"));
    assert_eq!(of("not the visual network"), None);
    let all =
        "neither the visual network, nor the default mode network nor the somatomotor network";
    assert_eq!(of(all).as_deref(), Some("none"));
    let slots = typed();
    let networks = slots.slot("networks").unwrap();
    assert_eq!(networks.members("Vis, SM"), [true, false, true]);
    assert_eq!(networks.members("none"), [false; 3]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Sentences of every slot in any order, each form, any number and any members, are read back.
    #[test]
    fn what_the_forms_write_is_read_back(
        seed in any::<u64>(),
        numbers in proptest::collection::vec(0.0..1.0_f64, 8),
        members in 0_usize..8,
    ) {
        let slots = typed();
        let mut expected = Vec::new();
        let mut sections: Vec<(&str, String)> = Vec::new();
        for (idx, slot) in slots.slots().iter().enumerate() {
            let draw = |n: usize| (seed >> (8 * idx)) as usize % n.max(1);
            let value = match slot.number() {
                Some(form) => {
                    let [low, high] = form.range;
                    let number = low + (high - low) * numbers[idx];
                    let written = form.written(number);
                    let unit = form.unit.clone().unwrap_or_default();
                    let own = written.trim_end_matches(&unit).trim().to_owned();
                    expected.push(own);
                    number.to_string()
                }
                None if slot.name == "networks" => {
                    let labels = slot.labels().into_iter().enumerate();
                    let chosen = labels.filter(|(at, _)| members >> at & 1 == 1).map(|it| it.1);
                    let chosen = chosen.collect::<Vec<_>>().join(", ");
                    let value = if chosen.is_empty() { super::NONE.to_owned() } else { chosen };
                    expected.push(value.clone());
                    value
                }
                None => {
                    let value = slot.labels()[draw(slot.values.len())].clone();
                    expected.push(value.clone());
                    value
                }
            };
            let sentence = slot.sentence(&value, draw(7)).unwrap();
            let heading = slot.section.heading();
            match sections.iter_mut().find(|it| it.0 == heading) {
                Some((_, text)) => *text = format!("{text} {sentence}"),
                None => sections.push((heading, format!("{heading}: {sentence}"))),
            }
        }
        let turn = seed as usize % sections.len();
        sections.rotate_left(turn);
        let text = sections.into_iter().map(|it| it.1).collect::<Vec<_>>().join("\n");
        let read = slots.parse(&text).slots;
        let read: Vec<_> = read.iter().map(|it| it.value().unwrap_or("nothing").to_owned()).collect();
        prop_assert_eq!(read, expected, "{}", text);
    }

    #[test]
    fn any_text_is_read_without_panic(
        text in "\\PC*|(?i:findings:|motion:|mean FD|default mode network|no|not|[0-9.,+–-]{1,5}|mm|or|to|[;.\\s é’-]){0,30}",
    ) {
        let slots = typed();
        let report = slots.parse(&text);
        prop_assert_eq!(report.slots.len(), slots.slots().len());
        for span in slots.spans(&text) {
            prop_assert!(text.get(span.range).is_some());
        }
    }
}
