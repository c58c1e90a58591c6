package shop

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"gorm.io/gorm"

	"github.com/strangler-fig/strangler/extracted/kit"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/model"
)

// planLimit is how many actions of a courier are shown.
const planLimit = 50

func (s *server) createCourier(c echo.Context) error {
	var in struct {
		FirstName string  `json:"first_name"`
		LastName  string  `json:"last_name"`
		Address   address `json:"address"`
		Available *bool   `json:"available"`
	}
	body, err := kit.ReadJSON(c, &in)
	if err != nil {
		return err
	}
	firstName, err := kit.Text("first_name", in.FirstName, 100)
	if err != nil {
		return err
	}
	lastName, err := kit.Text("last_name", in.LastName, 100)
	if err != nil {
		return err
	}
	home, err := in.Address.check("address")
	if err != nil {
		return err
	}
	return s.couriers.Do(c, body, func(tx *gorm.DB) (kit.Answer, error) {
		row := model.Courier{FirstName: firstName, LastName: lastName,
			Street: home.Street, City: home.City, Zip: home.Zip, Available: in.Available, IdleSince: kit.Now()}
		if err := tx.Create(&row).Error; err != nil {
			return kit.Answer{}, err
		}
		return kit.JSON(http.StatusCreated, viewCourier(row))
	})
}

func (s *server) getCourier(c echo.Context) error {
	id, err := kit.PathID(c, "id")
	if err != nil {
		return err
	}
	var row model.Courier
	var actions []model.CourierAction
	err = s.db.Read(c.Request().Context(), func(tx *gorm.DB) error {
		if row, err = find[model.Courier](tx, "courier", id); err != nil {
			return err
		}
		return tx.Where("courier_id = ?", id).Order("id DESC").Limit(planLimit).Find(&actions).Error
	})
	if err != nil {
		return err
	}
	return send(c, http.StatusOK, courierPlanView{courierView: viewCourier(row), Plan: viewActions(actions)})
}

func (s *server) setAvailability(c echo.Context) error {
	id, err := kit.PathID(c, "id")
	if err != nil {
		return err
	}
	var in struct {
		Available *bool `json:"available"`
	}
	body, err := kit.ReadJSON(c, &in)
	if err != nil {
		return err
	}
	if in.Available == nil {
		return kit.Invalid("available", "is required")
	}
	return s.couriers.Do(c, body, func(tx *gorm.DB) (kit.Answer, error) {
		if err := tx.Model(&model.Courier{}).Where("id = ?", id).Update("available", *in.Available).Error; err != nil {
			return kit.Answer{}, err
		}
		row, err := find[model.Courier](tx, "courier", id)
		if err != nil {
			return kit.Answer{}, err
		}
		return kit.JSON(http.StatusOK, viewCourier(row))
	})
}
