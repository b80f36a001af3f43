from django.urls import path
from rest_framework_simplejwt.views import TokenBlacklistView, TokenObtainPairView, TokenRefreshView

import views

urlpatterns = [
    path("health/", views.health),
    path("register/", views.Register.as_view()),
    path("session/login/", views.SessionLogin.as_view()),
    path("session/logout/", views.SessionLogout.as_view()),
    path("jwt/login/", TokenObtainPairView.as_view()),
    path("jwt/refresh/", TokenRefreshView.as_view()),
    path("jwt/logout/", TokenBlacklistView.as_view()),
    path("profile/", views.Profile.as_view()),
    path("profile/stateless/", views.StatelessProfile.as_view()),
]
