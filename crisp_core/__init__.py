"""The mathematics, models, words and files of CRISP; knows neither server nor client."""
