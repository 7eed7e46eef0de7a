// SPDX-License-Identifier: GPL-2.0

//! What is left of a run: `fuzz.json`, and for each difference its steps as a file that can be
//! replayed, and as a scenario.

use std::fmt::Write;
use std::path::Path;

use crate::action::Action;
use crate::scenario;
use crate::trial::Outcome;

/// A difference that was found.
pub struct Finding {
    /// What the steps do.
    pub outcome: Outcome,
    /// The seed of the worker that found it.
    pub seed: u64,
    /// The steps, as few as possible.
    pub steps: Vec<Action>,
    /// When it was found, since the run began.
    pub seconds: f64,
}

/// A run.
pub struct Report {
    /// Steps that were done and compared.
    pub steps: u64,
    /// How long that took.
    pub seconds: f64,
    /// The seed.
    pub seed: u64,
    /// How the host was compiled.
    pub variant: String,
    /// How many branches of the host's code one worker took.
    pub branches: u64,
    /// What was found.
    pub findings: Vec<Finding>,
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

impl Finding {
    /// Returns the name of its files, without the ending.
    pub fn name(&self, number: usize) -> String {
        let kind = match self.rule() {
            Some(rule) => rule.to_lowercase(),
            None => "other".to_owned(),
        };
        format!("{}-{kind}", number + 1)
    }

    fn rule(&self) -> Option<String> {
        match &self.outcome {
            Outcome::Differs(_, difference) => difference.rule.map(|rule| format!("R{rule}")),
            Outcome::Same | Outcome::Dies(_) => None,
        }
    }

    /// Returns what it is, in words.
    pub fn words(&self) -> &str {
        match &self.outcome {
            Outcome::Differs(_, difference) => &difference.words,
            Outcome::Dies(words) => words,
            Outcome::Same => "nothing",
        }
    }

    /// Returns the steps as a file that can be replayed.
    pub fn replay(&self) -> String {
        let mut text = format!("# {}\n", self.words().replace('\n', " "));
        for action in &self.steps {
            let _ = writeln!(text, "{action}");
        }
        text
    }

    fn json(&self, number: usize) -> String {
        let steps: Vec<String> = self.steps.iter().map(|a| quoted(&a.to_string())).collect();
        format!(
            "{{\"rule\": {}, \"words\": {}, \"seed\": {}, \"steps\": [{}], \"scenario\": {}, \
             \"seconds\": {:.1}}}",
            self.rule().map_or("null".to_owned(), |rule| quoted(&rule)),
            quoted(self.words()),
            self.seed,
            steps.join(", "),
            quoted(&format!("{}.scn", self.name(number))),
            self.seconds
        )
    }
}

impl Report {
    fn json(&self) -> String {
        let findings: Vec<String> = self
            .findings
            .iter()
            .enumerate()
            .map(|(number, finding)| finding.json(number))
            .collect();
        format!(
            "{{\"steps\": {}, \"seconds\": {:.1}, \"seed\": {}, \"variant\": {}, \
             \"branches\": {}, \"differences\": [{}]}}\n",
            self.steps,
            self.seconds,
            self.seed,
            quoted(&self.variant),
            self.branches,
            findings.join(", ")
        )
    }

    /// Writes all files to a folder.
    ///
    /// # Errors
    ///
    /// A text that names the file.
    pub fn write(&self, folder: &Path) -> Result<(), String> {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
        };
        for (number, finding) in self.findings.iter().enumerate() {
            let name = finding.name(number);
            write(&format!("{name}.steps"), &finding.replay())?;
            write(
                &format!("{name}.scn"),
                &scenario::scenario(&finding.steps, finding.words()),
            )?;
        }
        write("fuzz.json", &self.json())
    }
}
