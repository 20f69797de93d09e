"""What each layout's rules say of one path: (pid, camid, scene), by string methods, without any code of the readers."""


def msvr310(path: str) -> tuple[int, int, int]:
    """`bounding_box_train/0094/vis/0094_s023_v1_007.jpg` → (94, 1, 23)."""
    pid, scene, view, _ = path.rsplit("/", 1)[1].split("_")
    return int(pid), int(view[1:]), int(scene[1:])


def msvr310_neo(path: str) -> tuple[int, int, int]:
    """`train/0094/vis/v1_n1_s023_007.jpg` → (94, 1, 23)."""
    folder, _, name = path.split("/")[-3:]
    view, _, scene, _ = name.split("_")
    return int(folder), int(view[1:]), int(scene[1:])


def wmveid863(path: str) -> tuple[int, int, int]:
    """`train/0123/vis/v1_n1_s999_011.jpg` → (123, 1, -1)."""
    folder, _, name = path.split("/")[-3:]
    return int(folder), int(name[1]), -1


def rgbnt201(path: str) -> tuple[int, int, int]:
    """`test/RGB/000258_cam1_0_00.jpg` → (258, 0, 0)."""
    pid, camera, field, _ = path.rsplit("/", 1)[1].split("_")
    return int(pid), int(camera.removeprefix("cam")) - 1, int(field)


def market1501mm(path: str) -> tuple[int, int, int]:
    """`train/RGB/0002_c1s1_000451_03.jpg` → (2, 0, -1)."""
    pid, camera, *_ = path.rsplit("/", 1)[1].split("_")
    return int(pid), int(camera[1]) - 1, -1
