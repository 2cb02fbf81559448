"""Where oban_sync meets servers and frameworks. Import the module that you use: nothing is imported here."""
