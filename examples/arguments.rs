//! Command lines of the form `ADDRESS --name VALUE`, parsed by hand: the examples need no more.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process;
use std::str::FromStr;

use net::UnixAddr;

/// What a program accepts.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Printed for `--help` and after an error.
    pub text: &'static str,
    /// The names of the options, with their dashes. Each takes one value.
    pub options: &'static [&'static str],
}

/// A parsed command line: one address and options with their values.
#[derive(Debug)]
pub struct Arguments {
    address: Option<String>,
    options: BTreeMap<&'static str, String>,
}

impl Arguments {
    /// The arguments of this process. `--help` prints the usage and exits with 0; a command line
    /// that does not parse is reported on standard error together with the usage, and the process
    /// exits with 2.
    pub fn of_process(usage: &Usage) -> Self {
        let words: Vec<String> = std::env::args().skip(1).collect();
        if words.iter().any(|word| word == "--help" || word == "-h") {
            usage.print();
            process::exit(0);
        }
        Self::parse(words, usage).unwrap_or_else(|error| usage.refuse(&error))
    }

    /// Parses the words of a command line.
    ///
    /// # Errors
    /// A sentence for the user: an unknown option, one without a value or given twice, a second
    /// address.
    pub fn parse(words: Vec<String>, usage: &Usage) -> Result<Self, String> {
        let mut parsed = Self { address: None, options: BTreeMap::new() };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if word.starts_with("--") {
                let known = usage.options.iter().find(|name| **name == word);
                let name = *known.ok_or_else(|| format!("there is no option {word}"))?;
                let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
                if parsed.options.insert(name, value).is_some() {
                    return Err(format!("{name} is given twice"));
                }
            } else if let Some(first) = &parsed.address {
                return Err(format!("expected one address, found {first} and {word}"));
            } else {
                parsed.address = Some(word);
            }
        }
        Ok(parsed)
    }

    /// The address, which must be there.
    ///
    /// # Errors
    /// A sentence for the user when it is absent or not of the form `IP:PORT`.
    pub fn address(&self) -> Result<SocketAddr, String> {
        let text = self.address.as_ref().ok_or("the address is missing")?;
        text.parse().map_err(|_| format!("{text} is not an address: expected IP:PORT"))
    }

    /// The address of a Unix socket, which must be there: a path, or `@` and an abstract name.
    ///
    /// # Errors
    /// A sentence for the user when it is absent or too long.
    pub fn unix_address(&self) -> Result<UnixAddr, String> {
        let text = self.address.as_ref().ok_or("the path is missing")?;
        let address = match text.strip_prefix('@') {
            Some(name) => UnixAddr::from_abstract_name(name),
            None => UnixAddr::from_path(text),
        };
        address.map_err(|error| error.to_string())
    }

    /// The value of an option, if it was given.
    ///
    /// # Errors
    /// A sentence for the user when the value is not a `T`.
    pub fn value<T: FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let Some(text) = self.options.get(name) else { return Ok(None) };
        let value = text.parse().map_err(|_| format!("{name} cannot be {text}"))?;
        Ok(Some(value))
    }

    /// The number given for an option, or `default` when the option was not given.
    ///
    /// # Errors
    /// A sentence for the user when the value is not a number from 1 to `max`.
    pub fn number(&self, name: &str, default: usize, max: usize) -> Result<usize, String> {
        match self.value(name)? {
            None => Ok(default),
            Some(number) if (1..=max).contains(&number) => Ok(number),
            Some(number) => Err(format!("{name} must be from 1 to {max}, not {number}")),
        }
    }
}

impl Usage {
    #[allow(clippy::print_stdout)] // who asks for help may want to pipe it
    fn print(&self) {
        println!("{}", self.text);
    }

    /// Reports what is wrong with the command line and exits with 2.
    pub fn refuse(&self, error: &str) -> ! {
        eprintln!("error: {error}\n\n{}", self.text);
        process::exit(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: Usage = Usage { text: "usage", options: &["--size", "--seconds"] };

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(String::from).collect(), &USAGE)
    }

    #[test]
    fn the_address_and_the_options_come_in_any_order() {
        for line in ["127.0.0.1:7000 --size 9", "--size 9 127.0.0.1:7000"] {
            let arguments = parse(line).unwrap();
            assert_eq!(arguments.address(), Ok("127.0.0.1:7000".parse().unwrap()));
            assert_eq!(arguments.number("--size", 64, 100), Ok(9));
            assert_eq!(arguments.value::<f64>("--seconds"), Ok(None));
        }
    }

    #[test]
    fn a_unix_address_is_a_path_or_an_abstract_name() {
        let address = |line| parse(line).unwrap().unix_address();
        assert_eq!(address("/tmp/echo"), Ok(UnixAddr::from_path("/tmp/echo").unwrap()));
        assert_eq!(address("@echo"), Ok(UnixAddr::from_abstract_name("echo").unwrap()));
        assert_eq!(address("").unwrap_err(), "the path is missing");
        let error = address(&"p".repeat(109)).unwrap_err();
        assert_eq!(error, "a path of 109 bytes, where a Unix socket takes 108");
    }

    #[test]
    fn an_absent_number_is_the_default() {
        assert_eq!(parse("").unwrap().number("--size", 64, 100), Ok(64));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(parse("--sise 9").unwrap_err(), "there is no option --sise");
        assert_eq!(parse("--size").unwrap_err(), "--size needs a value");
        assert_eq!(parse("--size 1 --size 2").unwrap_err(), "--size is given twice");
        assert_eq!(parse("a b").unwrap_err(), "expected one address, found a and b");
        assert_eq!(parse("").unwrap().address().unwrap_err(), "the address is missing");
        let error = parse("localhost").unwrap().address().unwrap_err();
        assert_eq!(error, "localhost is not an address: expected IP:PORT");
        let arguments = parse("--size 101 --seconds soon").unwrap();
        let error = arguments.number("--size", 64, 100).unwrap_err();
        assert_eq!(error, "--size must be from 1 to 100, not 101");
        let error = arguments.value::<f64>("--seconds").unwrap_err();
        assert_eq!(error, "--seconds cannot be soon");
    }
}
