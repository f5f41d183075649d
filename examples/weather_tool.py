"""A tool: the weather of a city, from an API in the form of Open-Meteo (no key is needed).

Declared in the TOML file of the settings (`MORGAN_CONFIG`), beside a language model that can call tools:

    llm_base_url = "http://localhost:11434/v1"
    llm_model = "qwen3:4b"

    [[tools]]
    name = "weather"
    description = "The weather of a city, now."
    function = "examples.weather_tool:weather"
    parameters = { type = "object", properties = { city = { type = "string" } }, required = ["city"] }

What a tool raises is told to the language model as a failure, which it can put into words.
"""

import os

import httpx2

PLACES = "https://geocoding-api.open-meteo.com/v1/search"
FORECAST = "https://api.open-meteo.com/v1/forecast"


async def weather(city: str) -> str:
    """The temperature (degrees Celsius) and the wind (km/h) of a city now, in a sentence."""
    places, forecast = os.environ.get("PLACES_URL", PLACES), os.environ.get("FORECAST_URL", FORECAST)
    async with httpx2.AsyncClient(timeout=5.0) as http:
        found = (await http.get(places, params={"name": city, "count": 1})).raise_for_status().json()
        if not found.get("results"):
            raise LookupError(f"There is no place called {city}.")
        place = found["results"][0]
        where = {"latitude": place["latitude"], "longitude": place["longitude"]}
        told = (
            await http.get(forecast, params={**where, "current": "temperature_2m,wind_speed_10m"})
        ).raise_for_status()
    now = told.json()["current"]
    degrees, wind = now["temperature_2m"], now["wind_speed_10m"]
    return f"In {place['name']} it is {degrees:.0f} degrees, with a wind of {wind:.0f} km/h."
