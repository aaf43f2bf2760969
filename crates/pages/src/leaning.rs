//! What of its scan a report leans on, as its page shows it.

use crate::escape::escape;

/// Differences in nats below which a token is as likely with a scan as without; a convention.
pub(crate) const LITTLE: f64 = 0.1;

/// Below it the methods put the places into orders of their own; a convention.
const AGREES: f64 = 0.5;

/// What of its scan a report leans on.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaning {
    /// What the scan adds to the report's log-likelihood, in nats.
    pub gain_nats: f64,
    /// How far attention, gradient and occlusion agree about places: a mean rank correlation, none where they cannot be
    /// compared.
    pub agreement: Option<f64>,
    /// The report's tokens, in their order.
    pub tokens: Vec<LeaningToken>,
    /// The places without which the report is least likely, or else those that are looked at most.
    pub places: Vec<LeaningPlace>,
}

/// A token of the report.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaningToken {
    /// Its characters.
    pub text: String,
    /// Its log-probability with the scan less that without, in nats.
    pub difference: f64,
    /// The places that it looks at most, in words; empty where that is not known.
    pub looks_at: String,
}

/// A place of the scan, with what each method says; `n/a` where one says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaningPlace {
    /// Its name.
    pub name: String,
    /// Share of the attention, gradient times input in nats, loss of likelihood in nats.
    pub said: [String; 3],
}

impl Leaning {
    pub(crate) fn sentence(&self) -> String {
        let gain = self.gain_nats;
        let adds = if gain < 0. {
            format!("The scan takes {:.2} nats from the log-likelihood of this report", -gain)
        } else {
            format!("The scan adds {gain:.2} nats to the log-likelihood of this report")
        };
        let agreement = match self.agreement {
            None => {
                "what attention, gradient and occlusion say of places cannot be compared".into()
            }
            Some(it) if it < AGREES => format!(
                "attention, gradient and occlusion do not agree about places (mean rank correlation {it:.2}): rely on none \
                 of them"
            ),
            Some(it) => format!(
                "attention, gradient and occlusion agree about places by a mean rank correlation of {it:.2}"
            ),
        };
        format!("{adds}; {agreement}.")
    }

    pub(crate) fn n_bytes(&self) -> usize {
        let tokens = self.tokens.iter();
        let tokens = tokens.map(|it| escape(&it.text).len() + escape(&it.looks_at).len() + 90);
        tokens.sum::<usize>() + 200 * self.places.len() + 800
    }
}

impl LeaningToken {
    pub(crate) fn class(&self) -> &'static str {
        match self.difference {
            it if it > LITTLE => "more",
            it if it < -LITTLE => "less",
            _ => "",
        }
    }

    pub(crate) fn title(&self) -> String {
        let looks = if self.looks_at.is_empty() {
            String::new()
        } else {
            format!("; looks at {}", self.looks_at)
        };
        format!("{:+.2} nats with the scan{looks}", self.difference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_that_disagree_are_not_relied_on() {
        let leaning = |gain_nats, agreement| Leaning {
            gain_nats,
            agreement,
            tokens: Vec::new(),
            places: Vec::new(),
        };
        let sentence = leaning(1.5, Some(0.1)).sentence();
        assert!(
            sentence.starts_with("The scan adds 1.50 nats") && sentence.contains("rely on none")
        );
        let sentence = leaning(-1.5, Some(0.9)).sentence();
        assert!(sentence.starts_with("The scan takes 1.50 nats") && sentence.ends_with("of 0.90."));
        assert!(leaning(0., None).sentence().ends_with("cannot be compared."));
        let token = |difference| LeaningToken {
            text: "a".to_owned(),
            difference,
            looks_at: "Vis_1 (0.25)".to_owned(),
        };
        assert_eq!([0.2, -0.2, 0.05].map(|it| token(it).class()), ["more", "less", ""]);
        assert_eq!(token(-0.2).title(), "-0.20 nats with the scan; looks at Vis_1 (0.25)");
    }
}
