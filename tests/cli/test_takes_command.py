"""`mpvg takes`."""

from __future__ import annotations

import json


def rows(desk):
    return {row["shot"]: row for row in json.loads(desk.mpvg("takes", "list", desk.film, "--json").stdout)}


def test_takes_are_listed_with_their_shot_and_whether_the_film_uses_them(desk):
    desk.shoot()
    assert set(rows(desk)) == {"dawn", "storm", "home"}
    text = desk.mpvg("takes", "list", desk.film).stdout
    assert len(text.splitlines()) == 3 and "a grey gull sleeps alone" in text
    assert all(row["in_film"] and not row["locked"] for row in rows(desk).values())


def test_a_damaged_take_is_told_and_not_listed(desk):
    desk.shoot()
    id = rows(desk)["home"]["take"]
    (desk.film / "takes" / id / "clip.mp4").write_bytes(b"")
    result = desk.mpvg("takes", "list", desk.film)
    assert f"take {id} cannot be used: clip.mp4 is damaged" in result.stderr
    assert id not in result.stdout


def test_a_take_is_locked_by_number_and_unlocked_by_name(desk):
    desk.shoot()
    assert desk.mpvg("takes", "lock", desk.film, 3).exit_code == 0
    assert [name for name, row in rows(desk).items() if row["locked"]] == ["home"]
    assert "is unlocked" in desk.mpvg("takes", "unlock", desk.film, "home").stdout
    assert not rows(desk)["home"]["locked"]


def test_an_older_take_is_brought_back_by_locking_it(desk):
    desk.shoot()
    old = rows(desk)["home"]["take"]
    desk.edit("a grey gull", "a white gull")
    desk.shoot()
    assert desk.mpvg("takes", "lock", desk.film, "home", old).exit_code == 0
    desk.shoot()
    shots = json.loads((desk.film / "film.json").read_text("utf-8"))["shots"]
    assert shots[2]["take"] == old and desk.backbone.denoised == 0


def test_unused_takes_are_removed_and_the_films_own_stay(desk):
    desk.shoot()
    old = rows(desk)["home"]["take"]
    desk.edit("a grey gull", "a white gull")
    desk.shoot()
    assert desk.mpvg("takes", "remove", desk.film, "--unused").stdout.split() == ["removed", "take", old]
    desk.shoot()
    assert desk.backbone.denoised == 0


def test_latents_that_wait_to_be_decoded_go_with_the_unused(desk):
    desk.shoot()
    waiting = desk.film / "takes" / f".sampled-{'0' * 16}.safetensors"
    waiting.write_bytes(b"latent")
    assert desk.mpvg("takes", "remove", desk.film, rows(desk)["home"]["take"]).exit_code == 0
    assert waiting.exists()
    result = desk.mpvg("takes", "remove", desk.film, "--unused")
    assert result.stdout.splitlines() == [f"removed latent {'0' * 16}"]
    assert not waiting.exists()


def test_one_take_that_cannot_be_removed_keeps_all_that_were_named(desk):
    desk.shoot()
    desk.mpvg("takes", "lock", desk.film, "1")
    takes = [rows(desk)[name]["take"] for name in ("home", "dawn")]
    result = desk.mpvg("takes", "remove", desk.film, *takes, "0" * 16)
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 2
    assert set(rows(desk)) == {"dawn", "storm", "home"}


def test_a_locked_take_is_not_removed(desk):
    desk.shoot()
    desk.mpvg("takes", "lock", desk.film, "1")
    result = desk.mpvg("takes", "remove", desk.film, rows(desk)["dawn"]["take"])
    assert result.exit_code == 2 and "is locked for shot 'dawn'" in result.stderr


def test_a_folder_without_takes_and_an_unknown_shot_are_refused(desk):
    result = desk.mpvg("takes", "list", desk.folder)
    assert result.exit_code == 2 and "holds no takes" in result.stderr
    desk.shoot()
    assert desk.mpvg("takes", "lock", desk.film, "nobody").exit_code == 2
    assert desk.mpvg("takes", "lock", desk.film, "home", "0" * 16).exit_code == 2
    assert desk.mpvg("takes", "remove", desk.film).exit_code == 2
