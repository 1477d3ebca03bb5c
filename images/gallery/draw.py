"""Draw the pictures of the gallery: run it in this folder when one is to change. Needs Pillow.

A landscape in layers, each mountain range further away paler, at three times of the day; and icons with transparent corners. All
follows from the numbers here, so that the same pictures come out again.
"""

import math
import random
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImagePalette

HERE = Path(__file__).parent
SCALE = 2           # everything is drawn larger and made smaller, which makes edges smooth
Rgb = tuple[int, int, int]
Stops = list[tuple[float, Rgb]]

HOLE: Rgb = (255, 0, 255)       # becomes the transparent colour
DUSK: Stops = [(0.0, (9, 11, 38)), (0.25, (27, 24, 74)), (0.45, (86, 47, 110)), (0.6, (190, 86, 110)), (0.7, (250, 160, 110)), (1.0, (255, 214, 150))]
DAWN: Stops = [(0.0, (58, 120, 190)), (0.35, (128, 182, 224)), (0.6, (250, 226, 190)), (0.72, (255, 190, 140)), (1.0, (255, 214, 170))]
NIGHT: Stops = [(0.0, (4, 8, 24)), (0.5, (8, 30, 54)), (1.0, (20, 70, 84))]


class Light(NamedTuple):
    """Sun or moon: its place and radius as parts of the picture, its colour, and how far it glows."""

    x: float
    y: float
    radius: float
    color: Rgb
    glow: float


def mix(one: Rgb, other: Rgb, part: float) -> Rgb:
    """A colour between two."""
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(one, other, strict=True))
    return red, green, blue


def gradient(size: tuple[int, int], stops: Stops) -> Image.Image:
    """Colours from top to bottom."""
    column = Image.new("RGB", (1, size[1]))
    for y in range(size[1]):
        at = y / (size[1] - 1)
        index = max(i for i, (place, _) in enumerate(stops) if place <= at)
        low, high = stops[index], stops[min(index + 1, len(stops) - 1)]
        column.putpixel((0, y), mix(low[1], high[1], 0 if high[0] == low[0] else (at - low[0]) / (high[0] - low[0])))
    return column.resize(size)


def ridge(width: int, base: float, height: float, roughness: float, chance: random.Random) -> list[float]:
    """The outline of a mountain range: displaced midpoints."""
    points = [base + chance.uniform(-height, height) for _ in range(2)]
    step = height
    while len(points) < width:
        finer = []
        for left, right in pairwise(points):
            finer += [left, (left + right) / 2 + chance.uniform(-step, step)]
        points = [*finer, points[-1]]
        step *= roughness
    return [points[x * (len(points) - 1) // (width - 1)] for x in range(width)]


def shine(image: Image.Image, light: Light) -> None:
    """A disc, and around it light that fades away."""
    width, height = image.size
    x, y, radius = light.x * width, light.y * height, light.radius * width
    small = width // 8, height // 8
    mask = Image.new("L", small)
    for row in range(small[1]):
        for column in range(small[0]):
            far = math.hypot(column * 8 - x, row * 8 - y) / radius
            mask.putpixel((column, row), int(255 * light.glow * math.exp(-max(0.0, far - 1) / 2.2)))
    glow = mask.resize((width, height), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(8))
    image.paste(Image.new("RGB", (width, height), light.color), (0, 0), glow)
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=light.color)


def landscape(size: tuple[int, int], sky: Stops, near: Rgb, far: Rgb, *, seed: int, stars: int, light: Light) -> Image.Image:
    """Sky, stars, sun or moon, five ranges of mountains, and firs in front."""
    width, height = size[0] * SCALE, size[1] * SCALE
    chance = random.Random(seed)
    image = gradient((width, height), sky)
    draw = ImageDraw.Draw(image)
    for _ in range(stars):
        x, y = chance.randrange(width), int(height * 0.6 * chance.random() ** 1.4)
        bright = chance.uniform(0.25, 1) * (1 - y / height / 0.7)
        draw.ellipse((x, y, x + SCALE, y + SCALE), fill=mix(image.getpixel((x, y)), (255, 255, 245), bright))
    shine(image, light)
    for layer in range(5):
        color = mix(far, near, (layer / 4) ** 0.8)
        outline = ridge(width, height * (0.6 + 0.075 * layer), height * (0.13 - 0.018 * layer), 0.53, chance)
        body = gradient((width, height), [(0.0, color), (0.55 + 0.07 * layer, color), (0.75 + 0.06 * layer, mix(color, far, 0.45)), (1.0, mix(color, far, 0.45))])
        mask = Image.new("L", (width, height), 0)
        ImageDraw.Draw(mask).polygon([(0, height), *enumerate(outline), (width, height)], fill=255)
        image.paste(body, (0, 0), mask)
    plant(ImageDraw.Draw(image), (width, height), mix(near, (0, 0, 0), 0.55), chance)
    return image.resize(size, Image.Resampling.LANCZOS)


def plant(draw: ImageDraw.ImageDraw, size: tuple[int, int], color: Rgb, chance: random.Random) -> None:
    """The ground, and firs on it: higher towards the sides."""
    width, height = size
    ground = ridge(width, height * 0.965, height * 0.03, 0.5, chance)
    draw.polygon([(0, height), *enumerate(ground), (width, height)], fill=color)
    x = 0
    while x < width:
        tall = chance.uniform(0.05, 0.16) * height * (0.55 + 0.45 * math.cos(x / width * 2 * math.pi) ** 2)
        fir(draw, x, ground[x] + 8, tall, color, chance)
        x += int(chance.uniform(0.1, 0.45) * tall)


def fir(draw: ImageDraw.ImageDraw, x: float, foot: float, tall: float, color: Rgb, chance: random.Random) -> None:  # noqa: PLR0917
    """A fir as a silhouette: tiers of branches that get wider."""
    draw.rectangle((x - tall / 40, foot - tall / 3, x + tall / 40, foot + tall), fill=color)
    for tier in range(9):
        top = foot - tall + tall * 0.82 * tier / 9
        half = tall * (0.03 + 0.2 * (tier + 1) / 9) * chance.uniform(0.85, 1.1)
        draw.polygon([(x, top), (x - half, top + tall * 0.19), (x + half, top + tall * 0.19)], fill=color)


def words(image: Image.Image, place: tuple[int, int], text: str, size: int, color: Rgb) -> None:
    """Text in Pillow's own font."""
    ImageDraw.Draw(image).text(place, text, fill=color, font=ImageFont.load_default(size))


def icon(name: str, color: Rgb) -> Image.Image:
    """A tile of 48 x 48 pixels with a white sign on it."""
    scale = 8
    side = 48 * scale
    image = Image.new("RGB", (side, side), HOLE)
    draw = ImageDraw.Draw(image)
    mask = Image.new("L", (side, side), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, side - 1, side - 1), 10 * scale, fill=255)
    image.paste(gradient((side, side), [(0.0, mix(color, (255, 255, 255), 0.25)), (1.0, mix(color, (0, 0, 0), 0.15))]), (0, 0), mask)

    def at(*numbers: float) -> list[float]:
        return [number * scale for number in numbers]

    white = (255, 255, 255)
    if name == "linux":         # a prompt
        draw.line(at(13, 15, 23, 24, 13, 33), fill=white, width=4 * scale, joint="curve")
        draw.line(at(26, 34, 36, 34), fill=white, width=4 * scale)
    elif name == "windows":     # four panes
        for x in (11, 25):
            for y in (11, 25):
                draw.rounded_rectangle(at(x, y, x + 12, y + 12), 2 * scale, fill=white)
    elif name == "disk":        # platters
        for y in (30, 22, 14):
            draw.ellipse(at(11, y - 4, 37, y + 8), fill=mix(color, (0, 0, 0), 0.3))
            draw.ellipse(at(11, y - 6, 37, y + 6), fill=white)
    else:                       # a plus: first aid
        draw.rounded_rectangle(at(20, 10, 28, 38), 2 * scale, fill=white)
        draw.rounded_rectangle(at(10, 20, 38, 28), 2 * scale, fill=white)
    small = image.resize((48, 48), Image.Resampling.LANCZOS)
    small.paste(HOLE, (0, 0), mask.resize((48, 48), Image.Resampling.LANCZOS).point(lambda level: 255 * (level < 128)))
    return small


def save(image: Image.Image, name: str, colors: int) -> None:
    """As a GIF with that many colours; holes become transparent."""
    flat = image.quantize(colors, Image.Quantize.MEDIANCUT, kmeans=3, dither=Image.Dither.NONE)
    hole = next((index for color, index in (flat.palette or ImagePalette.ImagePalette()).colors.items() if color == HOLE), None)
    flat.save(HERE / name, optimize=False, **({} if hole is None else {"transparency": hole}))


def main() -> None:
    """Draw all of them."""
    dusk = landscape((800, 600), DUSK, (20, 16, 44), (150, 88, 130), seed=7, stars=260, light=Light(0.76, 0.24, 0.028, (255, 246, 220), 0.55))
    words(dusk, (48, 40), "Institute of Geography", 34, (255, 236, 214))
    words(dusk, (50, 84), "Computer room B 12", 18, (214, 190, 214))
    save(dusk, "dusk.gif", 160)
    dawn = landscape((304, 600), DAWN, (24, 52, 60), (170, 190, 205), seed=21, stars=0, light=Light(0.34, 0.47, 0.055, (255, 250, 226), 0.6))
    words(dawn, (28, 36), "Good morning", 34, (255, 255, 255))
    save(dawn, "dawn.gif", 96)
    night = landscape((800, 224), NIGHT, (6, 24, 32), (40, 92, 104), seed=33, stars=190, light=Light(0.86, 0.26, 0.014, (236, 248, 240), 0.4))
    words(night, (48, 22), "Setting up this computer", 34, (226, 244, 236))
    words(night, (50, 64), "It needs nobody: please leave it switched on.", 18, (150, 190, 190))
    save(night, "night.gif", 96)
    for name, color in (("linux", (224, 108, 32)), ("windows", (0, 120, 200)), ("disk", (96, 104, 116)), ("repair", (36, 152, 92))):
        save(icon(name, color), f"{name}.gif", 24)


if __name__ == "__main__":
    main()
