//! How the example reports are worded: sentences with one blank each, picked without looking at what
//! fills the blank, so that a wording says nothing about the picture or the run.

/// The eight kinds of pictures of Haxby 2001: the name in `events.tsv`, the words a report uses,
/// and the domain it belongs to.
pub(crate) const KINDS: [Kind; 8] = [
    Kind { name: "bottle", words: "bottles", domain: "objects" },
    Kind { name: "cat", words: "cats", domain: "living things" },
    Kind { name: "chair", words: "chairs", domain: "objects" },
    Kind { name: "face", words: "faces", domain: "living things" },
    Kind { name: "house", words: "houses", domain: "places" },
    Kind { name: "scissors", words: "scissors", domain: "objects" },
    Kind { name: "scrambledpix", words: "scrambled pictures", domain: "patterns" },
    Kind { name: "shoe", words: "shoes", domain: "objects" },
];

const VIEWED: [&str; 6] = [
    "The ventral temporal pattern fits viewing of {}.",
    "Ventral temporal activity in this block is most consistent with viewing of {}.",
    "The response across ventral temporal cortex resembles that to {}.",
    "In the ventral temporal slice, {} explain the block mean best.",
    "Voxels of the ventral temporal slice respond as they do to {}.",
    "The spatial response suggests that {} were shown.",
];

const DOMAIN: [&str; 5] = [
    "The stimulus domain is {}.",
    "The stimulus belongs to the domain of {}.",
    "By domain, the response is one to {}.",
    "Responses of this kind are typical of {}.",
    "At the level of domains, {} are the best account.",
];

const IMPRESSION: [&str; 6] = [
    "Visual response to {}.",
    "Activity typical of {}.",
    "Block response compatible with {}.",
    "Most likely stimulus: {}.",
    "Category response, {}.",
    "Evoked activity fits {}.",
];

/// One kind of picture and its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) words: &'static str,
    pub(crate) domain: &'static str,
}

impl Kind {
    /// The kind `events.tsv` calls `name`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        KINDS.into_iter().find(|kind| kind.name == name)
    }
}

/// Which of the sentences a report uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Wording {
    viewed: usize,
    domain: usize,
    impression: usize,
}

impl Wording {
    /// All 180 of them, in a fixed order.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::with_capacity(VIEWED.len() * DOMAIN.len() * IMPRESSION.len());
        for viewed in 0..VIEWED.len() {
            for domain in 0..DOMAIN.len() {
                for impression in 0..IMPRESSION.len() {
                    all.push(Self { viewed, domain, impression });
                }
            }
        }
        all
    }

    /// The report of a window in which `kind` was seen.
    pub(crate) fn report(self, kind: Kind) -> String {
        format!(
            "Findings: {} {}\nImpression: {}",
            VIEWED[self.viewed].replace("{}", kind.words),
            DOMAIN[self.domain].replace("{}", kind.domain),
            IMPRESSION[self.impression].replace("{}", kind.words),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use report::slots::SlotSet;
    use serde_json::{Map, Value, json};

    use super::*;

    /// The slots these texts fill; domains are their own values.
    fn slots() -> SlotSet {
        let forms = |pairs: Vec<(&str, &str)>| -> Value {
            pairs.into_iter().map(|(k, v)| (k.to_owned(), json!([v]))).collect::<Map<_, _>>().into()
        };
        let words = || forms(KINDS.map(|kind| (kind.name, kind.words)).to_vec());
        let domains = forms(KINDS.map(|kind| (kind.domain, kind.domain)).to_vec());
        let follows: Map<_, _> =
            KINDS.into_iter().map(|kind| (kind.name.to_owned(), json!(kind.domain))).collect();
        let slot = |name: &str, section: &str, values: Value| json!({ "name": name, "section": section, "lead": "", "values": values });
        serde_json::from_value(json!({
            "scored": "viewed",
            "slots": [
                slot("viewed", "findings", words()),
                slot("domain", "findings", domains),
                slot("impression", "impression", words()),
            ],
            "derive": { "domain": { "map": follows }, "impression": "same" },
        }))
        .unwrap()
    }

    #[test]
    fn every_text_states_each_slot_once_and_rightly() {
        let slots = slots();
        for wording in Wording::all() {
            for kind in KINDS {
                let text = wording.report(kind);
                let parsed = slots.parse(&text);
                let stated: Vec<Option<&str>> = parsed.slots.iter().map(|r| r.value()).collect();
                assert_eq!(stated, [kind.name, kind.domain, kind.name].map(Some), "{text}");
                assert_eq!(slots.spans(&text).len(), 3, "{text}");
                let other = slots.with_value(&text, "house").unwrap();
                assert_eq!(other, wording.report(Kind::named("house").unwrap()));
            }
        }
    }

    #[test]
    fn every_sentence_has_one_blank() {
        for sentence in VIEWED.iter().chain(&DOMAIN).chain(&IMPRESSION) {
            assert_eq!(sentence.matches("{}").count(), 1, "{sentence}");
        }
    }

    #[test]
    fn wordings_and_kinds_give_1440_texts() {
        let texts: HashSet<String> = Wording::all()
            .into_iter()
            .flat_map(|wording| KINDS.map(|kind| wording.report(kind)))
            .collect();
        assert_eq!(texts.len(), 6 * 5 * 6 * 8);
    }
}
