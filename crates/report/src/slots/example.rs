//! The slots of the shipped pipeline, for tests.

use super::{Author, Forms, Section, Slot, SlotKind, SlotSet, Truth};

pub(crate) const FACES: &str = "Findings: The ventral temporal pattern fits viewing of faces. \
     The stimulus domain is living things.\nImpression: Visual response to faces.";

const HAXBY: &str = "
scored: viewed
slots:
  - name: viewed
    section: findings
    lead: The ventral temporal pattern fits viewing of
    values: { cat: [cats], face: [faces], house: [houses], scrambledpix: [scrambled pictures] }
  - name: domain
    section: findings
    lead: The stimulus domain is
    values: { living: [living things], places: [places], patterns: [patterns] }
  - name: impression
    section: impression
    lead: Visual response to
    values: { cat: [cats], face: [faces], house: [houses], scrambledpix: [scrambled pictures] }
derive:
  domain: { map: { cat: living, face: living, house: places, scrambledpix: patterns } }
  impression: same
";

pub(crate) fn haxby() -> SlotSet {
    serde_yaml::from_str(HAXBY).expect("the example is valid")
}

pub(crate) fn words(name: &str, values: Forms) -> Slot {
    Slot {
        name: name.to_owned(),
        section: Section::Findings,
        lead: "Shown:".to_owned(),
        kind: SlotKind::Words,
        values,
        about: Vec::new(),
        truth: Truth::Text,
        evidence: None,
        stated_by: Author::Model,
        abnormal: Vec::new(),
        max_error: None,
    }
}

/// A slot of every kind.
const TYPED: &str = "
scored: [motion, default_mode, age, artefact, networks]
slots:
  - name: motion
    section: motion
    lead: Head motion was
    ordinal: { low: [low, slight], moderate: [moderate, medium], high: [high, severe] }
    about: [head motion]
    abnormal: [high]
  - name: mean_fd
    section: motion
    lead: Mean framewise displacement was
    number: { unit: mm, range: [0, 10], decimals: 2, bins: [0.2, 0.5] }
    about: [mean framewise displacement, mean FD]
    truth: { measured: mean_fd }
    stated_by: program
  - name: artefact
    section: motion
    lead: The series shows
    flag: { yes: [a spike artefact, spikes] }
  - name: default_mode
    section: findings
    lead: Connectivity within the default mode network was
    choice: { decreased: [decreased], normal: [within normal limits], increased: [increased] }
    about: [default mode network, DMN]
    evidence: { network: Default }
    abnormal: [decreased, increased]
  - name: visual
    section: findings
    lead: Connectivity within the visual network was
    choice: { decreased: [decreased], normal: [within normal limits], increased: [increased] }
    about: [visual network]
  - name: default_mode_z
    section: findings
    lead: Default mode network z =
    number: { range: [-20, 20], decimals: 2 }
    about: [default mode network z]
  - name: networks
    section: impression
    lead: Findings concern the
    set:
      members: { Vis: [visual network, visual system], DMN: [default mode network], SM: [somatomotor network] }
      none: [no network]
  - name: age
    section: demographics
    lead: Estimated age
    number: { unit: years, range: [0, 120], bins: [30, 50, 70], within: 5, top: 90 }
    about: [age, aged]
    truth: { column: age }
";

pub(crate) fn typed() -> SlotSet {
    serde_yaml::from_str(TYPED).expect("the example is valid")
}
