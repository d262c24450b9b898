"""Word pools of the synthetic corpus: invented people, firms and things, no real data."""

import random

FIRST = """
    Karin Mateo Aisha Jonas Priya Lena Omar Sofia Erik Mei Diego Nora Tomas Yuki Hanna Ivan
    Leila Marco Anika Felix Rosa Samir Greta Hugo Wanda Pavel Zara Emil Carla Dario Ines Viktor
    Maya Oscar Petra Ravi Selma Theo Ulla Boris Clara Daniel Elena Farid Gloria Henrik Irma
    Jakob Kira Lukas Mona Nils Olga Paolo Quinn Rita Stefan Tina Umar Vera
""".split()
LAST = """
    Olsen Rivera Khan Weber Patel Novak Haddad Rossi Lindqvist Chen Morales Berg Silva Tanaka
    Fischer Petrov Amari Conti Sharma Keller Ortiz Nasser Holm Martin Kowalski Sokolov Malik
    Larsen Vega Bianchi Costa Horvat Singh Wilde Maier Gupta Dahl Jensen Braun Popov Santos
    Moreau Dubois Farouk Reyes Eriksen Jovanic Adler Ivanova Becker Ferrari Lund Romano Quist
    Nilsson Kraus Pinto Yilmaz Zeller Vogel
""".split()
CITIES = """
    Oslo Lisbon Nairobi Hamburg Pune Zagreb Cairo Milan Malmo Taipei Bogota Bergen Porto Osaka
    Vienna Sofia Tunis Turin Delhi Zurich Lima Amman Aarhus Lyon Krakow Kyiv Lahore Tromso Quito
    Verona Recife Split Boston Leeds Graz Mumbai Espoo Bremen Varna Dallas Paris Geneva Dakar
    Manila Denver Austin Riga Tallinn Vilnius Prague Ghent Basel Munich Seville Naples Athens
    Ankara Madrid Dublin Chicago
""".split()
PRODUCTS = """
    lamp desk chair kettle drill router camera backpack tent blender monitor keyboard printer
    speaker heater ladder jacket helmet mirror carpet shelf sofa toaster vacuum bicycle guitar
    tripod scanner charger cable pillow blanket wallet umbrella compass hammer wrench saw bucket
    candle vase clock
""".split()
COLOURS = "red blue green black white silver yellow orange purple brown grey teal".split()
JOBS = """
    nurse welder pilot baker analyst teacher plumber lawyer chemist farmer editor tailor surgeon
    actor dentist barber florist joiner painter architect driver cook librarian geologist
""".split()
STATUSES = "open closed pending shipped paid draft failed active blocked queued".split()
TEAMS = """
    alpha beta gamma delta sales support finance legal research design platform security
""".split()
UNITS = "celsius fahrenheit kelvin".split()
CURRENCIES = "USD EUR GBP JPY CHF SEK INR BRL".split()
APPS = """
    gateway billing search catalog worker auth mailer reports cache ingest metrics frontend
    orders payments scheduler profile
""".split()
IMAGES = "nginx redis postgres python node golang rabbitmq caddy haproxy memcached".split()
NAMESPACES = "prod staging dev qa edge core".split()
CLASSES = """
    Order Customer Invoice Shipment Device Ticket Account Sensor Booking Vehicle Report Payment
""".split()
IDENTIFIERS = """
    total count index value result items price amount limit offset width height score level
    buffer record batch cursor status weight length balance margin rate speed
""".split()
FUNCTIONS = """
    compute update collect filter merge scale check reduce adjust measure sum_up apply
""".split()
MONTHS_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def person(rng: random.Random) -> str:
    return f"{rng.choice(FIRST)} {rng.choice(LAST)}"


def iso_date(rng: random.Random) -> str:
    month = rng.randrange(12)
    return f"{rng.randint(2021, 2027)}-{month + 1:02d}-{rng.randint(1, MONTHS_DAYS[month]):02d}"


def price(rng: random.Random) -> float:
    """A price with two significant decimals, so that JSON prints it as it stands in the prompt."""
    return rng.randint(2, 299) + rng.choice((0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95))


def code(rng: random.Random) -> str:
    """Like `KD-4821`."""
    letters = "".join(rng.choice("ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(2))
    return f"{letters}-{rng.randint(1000, 9999)}"
