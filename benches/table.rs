//! Markdown tables.

/// A table that is printed when it is full.
#[derive(Debug)]
pub struct Table {
    title: String,
    rows: Vec<String>,
}

impl Table {
    /// An empty one; the first column, of the rows' names, has no title.
    pub fn new<'a>(title: &str, columns: impl Iterator<Item = &'a str>) -> Self {
        let columns: Vec<_> = columns.map(String::from).collect();
        let rule = "|---".repeat(columns.len() + 1) + "|";
        let mut table = Self { title: title.into(), rows: Vec::new() };
        table.row("", columns);
        table.rows.push(rule);
        table
    }

    /// Adds a row.
    pub fn row(&mut self, name: &str, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<_> = cells.into_iter().collect();
        self.rows.push(format!("| {name} | {} |", cells.join(" | ")));
    }

    /// Prints it to standard output.
    #[allow(clippy::print_stdout)] // which is what it is for
    pub fn print(self) {
        println!("### {}\n\n{}\n", self.title, self.rows.join("\n"));
    }
}
