//! Markdown tables.

/// A table that is printed when it is full.
pub(crate) struct Table {
    title: String,
    rows: Vec<String>,
}

impl Table {
    pub(crate) fn new<'a>(title: &str, columns: impl Iterator<Item = &'a str>) -> Self {
        let columns: Vec<_> = columns.map(String::from).collect();
        let rule = "|---".repeat(columns.len() + 1) + "|";
        let mut table = Self { title: title.into(), rows: Vec::new() };
        table.row("", columns);
        table.rows.push(rule);
        table
    }

    pub(crate) fn row(&mut self, name: &str, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<_> = cells.into_iter().collect();
        self.rows.push(format!("| {name} | {} |", cells.join(" | ")));
    }

    pub(crate) fn print(self) {
        println!("### {}\n\n{}\n", self.title, self.rows.join("\n"));
    }
}
