//! The slots of the shipped pipeline, for tests.

use super::SlotSet;

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
