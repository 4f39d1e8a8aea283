"""Where candles come from: an exchange's public endpoints, or a recording."""
