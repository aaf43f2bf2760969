//! Labels that become names of files and folders.
use super::CohortPlan;
use crate::{Error, Result};

/// The longest name of a file, in bytes, on the file systems that people use.
const LONGEST: usize = 255;

/// What a report's name has beside the two labels, with room for runs and windows of any number.
const BESIDE: usize = "sub-_ses-_run-00000_win-00000_desc-generated_report.json".len();

/// Refuses labels that are too long for the names of reports.
pub(super) fn fit(cohort: &CohortPlan) -> Result<()> {
    let most = LONGEST - BESIDE;
    for scan in &cohort.scans {
        let found = scan.subject.len() + scan.session.len();
        if found > most {
            let row = cohort.rows.iter().find(|row| cohort.scans[row.scan_idx] == *scan);
            let problem = format!(
                "subject and session have {found} letters together, expected at most {most}: they \
                 become the name of a file"
            );
            let (path, row) = (cohort.table.clone(), row.map_or(0, |row| row.row));
            return Err(Error::RowProblem { path, row, problem });
        }
    }
    Ok(())
}
