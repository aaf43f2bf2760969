//! What a training learns: texts in tokens, and what to know of them.
use std::fmt;

use report::counted;

/// Texts that a training learns and is judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingPlan {
    /// Tokens of the longest prompt, with its scan.
    pub prompt_tokens: usize,
    /// Tokens of each report that is learned or judges, its end left out, in the order of the table.
    pub report_tokens: Vec<usize>,
    /// What may be unintended, a sentence each.
    pub notes: Vec<String>,
    /// Megabytes (10⁶ bytes) that the training takes at most, as reckoned; `None` where no header says what is shown.
    pub peak_memory_mb: Option<u64>,
}

/// Groups of reports by their length.
const N_GROUPS: usize = 5;

impl TrainingPlan {
    /// Tokens of the longest report, with its end.
    pub(crate) fn most_new_tokens(&self) -> usize {
        1 + self.report_tokens.iter().max().copied().unwrap_or(0)
    }

    /// How many reports have how many tokens: the first and the last number of tokens of each group, and its reports.
    pub fn histogram(&self) -> Vec<(usize, usize, usize)> {
        let (Some(&least), Some(&most)) =
            (self.report_tokens.iter().min(), self.report_tokens.iter().max())
        else {
            return Vec::new();
        };
        let width = (most - least + 1).div_ceil(N_GROUPS);
        let group = |from: usize| {
            let to = (from + width - 1).min(most);
            let n = self.report_tokens.iter().filter(|n| (from..=to).contains(n)).count();
            (from, to, n)
        };
        (least..=most).step_by(width).map(group).collect()
    }
}

impl fmt::Display for TrainingPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = counted(self.report_tokens.len(), "report");
        write!(f, "texts     prompts of up to {} tokens, {n}; tokens", self.prompt_tokens)?;
        for (idx, (from, to, n)) in self.histogram().into_iter().enumerate() {
            let range = if from == to { from.to_string() } else { format!("{from}–{to}") };
            write!(f, "{} {range}: {n}", if idx == 0 { "" } else { "," })?;
        }
        self.notes.iter().try_for_each(|note| write!(f, "\n          {note}"))?;
        match self.peak_memory_mb {
            Some(mb) => write!(f, "\npeak      about {mb} MB of memory in the training"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_counted_by_their_length() {
        let plan = TrainingPlan {
            prompt_tokens: 30,
            report_tokens: vec![10, 11, 12, 20, 21, 10],
            notes: vec!["two are alike".to_owned()],
            peak_memory_mb: Some(90),
        };
        // 12 numbers of tokens in groups of 3
        assert_eq!(plan.histogram(), [(10, 12, 4), (13, 15, 0), (16, 18, 0), (19, 21, 2)]);
        let said = "texts     prompts of up to 30 tokens, 6 reports; tokens 10–12: 4, 13–15: 0, 16–18: 0, 19–21: 2\n          \
                    two are alike\npeak      about 90 MB of memory in the training";
        assert_eq!(plan.to_string(), said);
        let alike = TrainingPlan { report_tokens: vec![7, 7], ..plan };
        assert_eq!(alike.histogram(), [(7, 7, 2)]);
    }
}
